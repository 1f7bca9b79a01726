// One run at a time writes an output, and a run that was killed is in nobody's way.

#include "jobs/run/run_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/error.h"

namespace riverrun::jobs {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// Whoever watches a dead holder gives up soon.
constexpr RunLockTimes kQuick{20ms, 300ms, 10000ms, 500ms};
// Where nothing but what is waited for may end the wait, however busy the machine: far longer than that takes.
constexpr RunLockTimes kPatient{20ms, 10000ms, 30000ms, 30000ms};
constexpr auto kAtOnce = 5s;  // no watching

constexpr const char* kElsewhere = "host elsewhere\nprocess 12\nsince 2026-01-01T00:00:00Z\n";
std::atomic<bool> no_kernel_locks = false;

class RunLockTest : public testing::Test {
 protected:
  void SetUp() override { remove(); }
  void TearDown() override {
    remove();
    ::unsetenv("SLURM_JOB_ID"), ::unsetenv("SLURM_RESTART_COUNT");
    no_kernel_locks = false;
  }
  void remove() const { fs::remove(lock_); }
  std::string refusal(RunLockTimes times = kQuick) const {
    try {
      const RunLock lock(output_, times);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
  void leave(const std::string& holder) const { std::ofstream(lock_) << holder; }
  std::string left() const {
    std::ostringstream text;
    text << std::ifstream(lock_).rdbuf();
    return text.str();
  }
  // A process that has the lock and does nothing else.
  pid_t holder_process() const {
    int pipe[2];
    if (::pipe(pipe) != 0) return -1;
    const pid_t child = ::fork();
    if (child == 0) {
      const RunLock lock(output_, kQuick);
      if (::write(pipe[1], "x", 1) != 1) ::_exit(9);
      std::this_thread::sleep_for(60s);
      ::_exit(9);
    }
    char ready = 0;
    EXPECT_EQ(::read(pipe[0], &ready, 1), 1);
    ::close(pipe[0]), ::close(pipe[1]);
    return child;
  }
  static void be_job(const char* job, const char* restarts) {
    ::setenv("SLURM_JOB_ID", job, 1), ::setenv("SLURM_RESTART_COUNT", restarts, 1);
  }

  const std::string output_ = concat("run_lock_", ::getpid(), ".h5"), lock_ = output_ + ".lock";
};

TEST_F(RunLockTest, ASecondRunIsRefusedByName) {
  be_job("77", "2");
  {
    const RunLock lock(output_, kQuick);
    const std::string words = refusal();
    for (const std::string& part : {output_, concat("process ", ::getpid()), std::string("SLURM job 77"), std::string("restarted 2 times"), lock_}) {
      EXPECT_NE(words.find(part), std::string::npos) << part << " is not in: " << words;
    }
  }
  EXPECT_FALSE(fs::exists(lock_)) << "the file goes with the run";
  EXPECT_EQ(refusal(), "");
}

TEST_F(RunLockTest, AKilledRunIsInNobodysWay) {
  const pid_t child = holder_process();
  EXPECT_NE(refusal().find(concat("process ", child)), std::string::npos);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(fs::exists(lock_));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(refusal(kPatient), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kAtOnce);
}

TEST_F(RunLockTest, ARunOfAnotherNodeThatStillTouchesTheFileIsRefused) {
  leave(kElsewhere);
  std::atomic<bool> end = false;
  std::thread beats([&] {
    for (std::error_code ignored; !end; std::this_thread::sleep_for(50ms)) fs::last_write_time(lock_, fs::file_time_type::clock::now(), ignored);
  });
  EXPECT_NE(refusal(kPatient).find("process 12 on elsewhere"), std::string::npos);
  end = true;
  beats.join();
}

TEST_F(RunLockTest, ARunOfAnotherNodeThatIsDeadIsWatchedAndThenTakenOver) {
  leave(kElsewhere);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(refusal(), "");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, kQuick.watch);
  leave(kElsewhere);
  fs::last_write_time(lock_, fs::file_time_type::clock::now() - 60s);  // long dead
  const auto again = std::chrono::steady_clock::now();
  EXPECT_EQ(refusal(kPatient), "");
  EXPECT_LT(std::chrono::steady_clock::now() - again, kAtOnce);
}

TEST_F(RunLockTest, ARequeuedJobWaitsForItsEarlierRun) {
  be_job("5", "0");
  auto earlier = std::make_unique<RunLock>(output_, kQuick);
  be_job("5", "1");
  std::thread ends([&] {
    std::this_thread::sleep_for(200ms);
    earlier.reset();
  });
  EXPECT_EQ(refusal(kPatient), "");
  ends.join();
  const RunLock later(output_, kQuick);
  be_job("5", "0");
  EXPECT_NE(refusal(kPatient), "") << "the earlier run does not push in";
  be_job("5", "2");
  EXPECT_NE(refusal(), "") << "a run that does not end is not waited for without a limit";
}

// Another task may have made it a moment ago, on a node whose locks are not known here.
TEST_F(RunLockTest, AFileWithoutAHolderIsWatchedForOne) {
  leave("");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(refusal(), "");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, kQuick.watch);
  leave("");
  std::thread other([&] {
    std::this_thread::sleep_for(200ms);
    std::ofstream(lock_, std::ios::app) << kElsewhere;
  });
  EXPECT_NE(refusal(kPatient).find("process 12 on elsewhere"), std::string::npos);
  other.join();
  EXPECT_EQ(left(), kElsewhere);
}

TEST_F(RunLockTest, AFileThatIsNoLockIsLeftAlone) {
  for (const char* text : {"my notes\n", "host\n", "\1\2\3"}) {
    leave(text);
    EXPECT_NE(refusal().find("is not a lock of riverrun"), std::string::npos);
    EXPECT_EQ(left(), text);
  }
  fs::remove(lock_);
  leave("x");
  fs::rename(lock_, lock_ + ".target");
  fs::create_symlink(lock_ + ".target", lock_);
  EXPECT_NE(refusal(), "");
  fs::rename(lock_ + ".target", lock_);
  EXPECT_EQ(left(), "x");
}

// Where the file system has no locks, that two runs are on one host tells nothing.
TEST_F(RunLockTest, WithoutLocksOfTheKernelARunOnThisHostIsWatched) {
  no_kernel_locks = true;
  {
    const RunLock lock(output_, kQuick);
    EXPECT_NE(refusal(kPatient).find(concat("process ", ::getpid())), std::string::npos);
  }
  const pid_t child = holder_process();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(refusal(), "") << "a dead one is taken over";
}

// A run that stood still for too long: another has its output now, and the file.
TEST_F(RunLockTest, ARunThatWasTakenForDeadEndsAndLeavesTheLockToTheOther) {
  const pid_t child = holder_process();
  ::kill(child, SIGSTOP);
  leave(kElsewhere);  // as a run on another node does, where the kernel's lock is not seen
  ::kill(child, SIGCONT);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(ExitCode::failed));
  EXPECT_EQ(left(), kElsewhere);
  remove();
  {
    const RunLock lock(output_, {60s, 300ms, 10000ms, 500ms});  // ends before it looks
    leave(kElsewhere);
  }
  EXPECT_EQ(left(), kElsewhere);
}

}  // namespace
}  // namespace riverrun::jobs

// In place of the C library's: a file system without locks.
extern "C" int flock(int descriptor, int operation) noexcept {
  if (!riverrun::jobs::no_kernel_locks) return static_cast<int>(::syscall(SYS_flock, descriptor, operation));
  errno = ENOLCK;
  return -1;
}
