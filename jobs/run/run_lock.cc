#include "jobs/run/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <map>
#include <sstream>

#include "core/error.h"
#include "core/log.h"
#include "core/utc.h"

namespace riverrun::jobs {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPoll = 100ms;

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

std::string host_name() {
  std::array<char, 256> host{};
  RR_CHECK(::gethostname(host.data(), host.size() - 1) == 0, with_errno("no host name"));
  return host.data();
}

// "name value" on each line.
using Holder = std::map<std::string, std::string>;

Holder this_run() {
  Holder holder{{"host", host_name()}, {"process", concat(::getpid())}, {"since", utc_now()}};
  if (const std::string job = environment("SLURM_JOB_ID"); !job.empty()) {
    const std::string restarts = environment("SLURM_RESTART_COUNT");
    holder["slurm_job"] = job;
    holder["slurm_restarts"] = restarts.empty() ? "0" : restarts;
  }
  return holder;
}

// "" also when it cannot be read.
std::string text_of(int descriptor) {
  std::array<char, 4096> text{};
  const auto size = ::pread(descriptor, text.data(), text.size(), 0);
  return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

// What the file of that name says now, to whichever node wrote it.
std::string text_of(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return "";
  std::string text = text_of(descriptor);
  ::close(descriptor);
  return text;
}

Holder parse_holder(const std::string& text) {
  Holder holder;
  std::istringstream lines(text);
  for (std::string name, value; lines >> name && std::getline(lines >> std::ws, value);) holder[name] = value;
  return holder;
}

std::string value_of(const Holder& holder, const std::string& name) {
  const auto at = holder.find(name);
  return at == holder.end() ? "" : at->second;
}

std::string words_for(const Holder& holder) {
  if (holder.empty()) return "a run that has not yet said which";
  const std::string job = value_of(holder, "slurm_job");
  return concat("process ", value_of(holder, "process"), " on ", value_of(holder, "host"),
                job.empty() ? "" : concat(" (SLURM job ", job, ", restarted ", value_of(holder, "slurm_restarts"), " times)"), ", since ",
                value_of(holder, "since"));
}

// An earlier run of the SLURM job that this process belongs to.
bool is_earlier_run(const Holder& holder, const Holder& mine) {
  const std::string job = value_of(mine, "slurm_job");
  return !job.empty() && value_of(holder, "slurm_job") == job &&
         std::atoll(value_of(holder, "slurm_restarts").c_str()) < std::atoll(value_of(mine, "slurm_restarts").c_str());
}

struct stat status_of(int descriptor, const std::string& path) {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) throw Error(with_errno(path + ": cannot be looked at"));
  return status;
}

bool same_time(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

void refuse(const std::string& path, const Holder& holder) {
  throw InputError(concat(path.substr(0, path.size() - 5), ": is being written by ", words_for(holder),
                          "; wait for it to end, or stop it (its lock is ", path, ")"));
}

}  // namespace

RunLock::RunLock(const std::string& output, RunLockTimes times) : path_(output + ".lock"), times_(times) {
  try {
    if (!try_lock()) wait_for_earlier_run();
    watch_other_node();
    write_holder();
  } catch (...) {
    if (made_ && kernel_locked_) (void)::unlink(path_.c_str());  // it says nothing yet; what is wrong is being thrown
    if (descriptor_ >= 0) ::close(descriptor_);
    throw;
  }
  thread_ = std::thread([this] { beat(); });
}

RunLock::~RunLock() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  // While it is still locked, so that whoever opened it meanwhile finds it gone and looks again.
  if (text_of(path_) == holder_ && ::unlink(path_.c_str()) != 0 && errno != ENOENT) log_warning(with_errno("cannot remove " + path_));
  ::close(descriptor_);
}

// False when someone has just removed it.
bool RunLock::open_file() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  made_ = descriptor_ >= 0;
  if (made_) return true;
  if (errno != EEXIST) throw InputError(with_errno(path_ + ": cannot create the lock of this run"));
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor_ < 0 && errno != ENOENT) throw InputError(with_errno(path_ + ": cannot open the lock of this run"));
  return descriptor_ >= 0;
}

// False when another process has it.
bool RunLock::try_lock() {
  while (true) {
    if (!open_file()) continue;
    int result = -1;
    do {
      result = ::flock(descriptor_, LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno == EWOULDBLOCK) return false;
    if (result != 0 && errno != ENOSYS && errno != EOPNOTSUPP && errno != ENOLCK) throw Error(with_errno(path_ + ": cannot lock"));
    if (result != 0) log_warning(with_errno(path_ + ": this file system has no locks, so only the time of the file tells of other runs"));
    kernel_locked_ = result == 0;
    // Its holder may have removed it between the two calls.
    struct stat named{};
    const struct stat locked = status_of(descriptor_, path_);
    if (::stat(path_.c_str(), &named) == 0 && named.st_ino == locked.st_ino && named.st_dev == locked.st_dev) return true;
  }
}

void RunLock::wait_for_earlier_run() {
  const Holder mine = this_run();
  const auto deadline = Clock::now() + times_.requeued;
  bool told = false;
  do {
    const Holder holder = parse_holder(text_of(descriptor_));
    if (!is_earlier_run(holder, mine) || Clock::now() >= deadline) refuse(path_, holder);
    if (!told) log_info("waiting for the earlier run of this job to end: ", words_for(holder));
    told = true;
    std::this_thread::sleep_for(kPoll);
  } while (!try_lock());
}

// The lock is ours as far as this node's kernel knows.
void RunLock::watch_other_node() {
  if (made_) return;
  const std::string text = text_of(descriptor_);
  const Holder holder = parse_holder(text);
  // An empty one: its maker has not come to say who it is, or never will.
  RR_CHECK_INPUT(text.empty() || (holder.contains("host") && holder.contains("process")), path_,
                 ": is not a lock of riverrun, which needs this name; move that file away");
  if (kernel_locked_ && value_of(holder, "host") == host_name()) return;
  const timespec first = status_of(descriptor_, path_).st_mtim;
  if (std::chrono::seconds(std::time(nullptr) - first.tv_sec) > times_.surely_dead) return;
  log_info("waiting ", times_.watch.count() / 1000.0, " s to see whether ", words_for(holder), " still runs");
  const Holder mine = this_run();
  timespec seen = first;
  auto quiet_since = Clock::now();
  const auto deadline = Clock::now() + times_.requeued;
  while (Clock::now() - quiet_since < times_.watch) {
    std::this_thread::sleep_for(kPoll);
    struct stat named{};
    if (::stat(path_.c_str(), &named) != 0) {  // it has ended in good order
      if (errno != ENOENT || !try_lock() || !made_) refuse(path_, parse_holder(text_of(path_)));
      return;
    }
    if (same_time(named.st_mtim, seen)) continue;
    if (!is_earlier_run(holder, mine) || Clock::now() >= deadline) refuse(path_, parse_holder(text_of(path_)));
    seen = named.st_mtim;
    quiet_since = Clock::now();
  }
}

void RunLock::write_holder() {
  for (const auto& [name, value] : this_run()) holder_ += name + " " + value + "\n";
  const bool written = ::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, holder_.data(), holder_.size(), 0) == std::ssize(holder_) &&
                       ::fsync(descriptor_) == 0;
  if (!written) throw Error(with_errno(path_ + ": cannot write who runs"));
}

// Two runs would write one output: this one, which the other took for dead, ends at once and leaves everything as it is.
void RunLock::end_if_taken_over() const {
  const std::string now = text_of(path_);
  if (now.empty() || now == holder_) return;
  log_error(path_, ": this run stood still for so long that another one has taken over its output: ", words_for(parse_holder(now)));
  std::_Exit(static_cast<int>(ExitCode::failed));
}

void RunLock::beat() {
  std::unique_lock lock(mutex_);
  bool told = false;
  while (!changed_.wait_for(lock, times_.beat, [this] { return ending_; })) {
    end_if_taken_over();
    if (::futimens(descriptor_, nullptr) == 0 || told) continue;
    log_warning(with_errno(path_ + ": cannot be touched, so runs on other nodes may take this one for dead"));
    told = true;
  }
}

}  // namespace riverrun::jobs
