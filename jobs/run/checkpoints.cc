#include "jobs/run/checkpoints.h"

#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "output/raw_file.h"

namespace riverrun::jobs {

namespace {
constexpr Index kMostBytes = Index{1} << 30;  // of carries in memory; more are left out: a checkpoint may be missing
}

Checkpoints::Checkpoints(const std::string& output, std::string identity, std::function<CheckpointFolder::Document(Index)> describe)
    : output_(output), identity_(std::move(identity)), describe_(std::move(describe)), folder_(output), thread_([this] { work(); }) {}

Checkpoints::~Checkpoints() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    tasks_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void Checkpoints::resumed(Index document, Index next_token) {
  pushed_[document] = reached_[document] = next_token;
  std::lock_guard lock(mutex_);
  on_disk_.insert(document);
}

void Checkpoints::take(ring::CarryCopy copy) {
  const Index document = copy.document, token = copy.next_token, bytes = std::ssize(copy.bytes);
  Index queued = 0;
  {
    std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
    queued = task_bytes_;
  }
  if (document < std::ssize(closed_) && closed_[document]) return;
  if (const auto at = pushed_.find(document); at != pushed_.end() && token <= at->second) return;
  if (waiting_bytes_ + queued + bytes > kMostBytes) {
    if (!told_full_) log_warning("the checkpoints of more than ", kMostBytes >> 20, " MiB wait to be written; some are left out");
    told_full_ = true;
    return;
  }
  if (waiting_[document].emplace(token, std::move(copy)).second) waiting_bytes_ += bytes;
  if (const auto at = reached_.find(document); at != reached_.end()) reached(document, at->second);
}

void Checkpoints::reached(Index document, Index next_token) {
  reached_[document] = next_token;
  const auto found = waiting_.find(document);
  if (found == waiting_.end()) return;
  auto& carries = found->second;
  const auto end = carries.upper_bound(next_token);  // those before may be written; the last of them is worth it
  if (end == carries.begin()) return;
  for (auto at = carries.begin(); at != end; ++at) waiting_bytes_ -= std::ssize(at->second.bytes);
  ring::CarryCopy& furthest = std::prev(end)->second;
  pushed_[document] = furthest.next_token;
  push({std::move(furthest), describe_(document)});
  carries.erase(carries.begin(), end);
}

void Checkpoints::close(Index document) {
  const auto found = waiting_.find(document);
  if (found != waiting_.end()) {
    for (const auto& [token, copy] : found->second) waiting_bytes_ -= std::ssize(copy.bytes);
    waiting_.erase(found);
  }
  reached_.erase(document);
  if (document >= std::ssize(closed_)) closed_.resize(static_cast<std::size_t>(document) + 1);
  closed_[document] = true;
}

void Checkpoints::drop(Index document) {
  close(document);
  if (pushed_.erase(document) > 0) push({{document, 0, 0, {}}, {}});
}

void Checkpoints::flush() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return (tasks_.empty() && !busy_) || failure_; });
    if (failure_) std::rethrow_exception(failure_);
  }
  sync_output();  // marks that have come since
}

std::set<Index> Checkpoints::documents() const {
  std::lock_guard lock(mutex_);
  return on_disk_;
}

void Checkpoints::push(Task task) {
  {
    std::lock_guard lock(mutex_);
    task_bytes_ += std::ssize(task.copy.bytes);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void Checkpoints::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
    if (ending_) return;
    busy_ = true;
    auto tasks = std::exchange(tasks_, {});
    lock.unlock();
    std::exception_ptr failure;
    try {
      do_tasks(std::move(tasks));
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    busy_ = false;
    task_bytes_ = 0;
    for (const Task& task : tasks_) task_bytes_ += std::ssize(task.copy.bytes);
    if (failure) failure_ = failure;
    changed_.notify_all();
    if (failure) return;
  }
}

void Checkpoints::sync_output() const {
  try {
    output::RawFile(output_).sync_data();
  } catch (const InputError& error) {
    throw Error(concat(error.what(), " (this job is writing it; was it removed?)"));
  }
}

void Checkpoints::do_tasks(std::vector<Task> tasks) {
  // The rows before a carry, and the mark of a document whose files go. Through a descriptor of this thread's own: Linux tells
  // a failed sync once to each, and the writer must hear of it too.
  sync_output();
  for (const Task& task : tasks) {
    const Index document = task.copy.document;
    if (task.copy.bytes.empty()) {
      folder_.remove(document);
      std::lock_guard lock(mutex_);
      on_disk_.erase(document);
      continue;
    }
    try {
      folder_.write(task.document, identity_, task.copy);
    } catch (const Error& error) {
      // The document then goes on from an older place, or from its beginning.
      log_warning("no checkpoint of document ", document, ": ", error.what());
      continue;
    }
    std::lock_guard lock(mutex_);
    on_disk_.insert(document);
  }
}

}  // namespace riverrun::jobs
