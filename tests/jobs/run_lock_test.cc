// One run at a time writes an output, and a run that was killed is in nobody's way.

#include "jobs/run/run_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/error.h"

namespace riverrun::jobs {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr RunLockTimes kQuick{20ms, 300ms, 10000ms, 500ms};

class RunLockTest : public testing::Test {
 protected:
  void SetUp() override { remove(); }
  void TearDown() override {
    remove();
    ::unsetenv("SLURM_JOB_ID"), ::unsetenv("SLURM_RESTART_COUNT");
  }
  void remove() const { fs::remove(lock_); }
  std::string refusal() const {
    try {
      const RunLock lock(output_, kQuick);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
  void leave(const std::string& holder) const { std::ofstream(lock_) << holder; }
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
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const RunLock lock(output_, kQuick);
    if (::write(pipe[1], "x", 1) != 1) ::_exit(1);
    std::this_thread::sleep_for(60s);
    ::_exit(0);
  }
  char ready = 0;
  ASSERT_EQ(::read(pipe[0], &ready, 1), 1);
  EXPECT_NE(refusal().find(concat("process ", child)), std::string::npos);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(fs::exists(lock_));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(refusal(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 200ms);
  ::close(pipe[0]), ::close(pipe[1]);
}

TEST_F(RunLockTest, ARunOfAnotherNodeThatStillTouchesTheFileIsRefused) {
  leave("host elsewhere\nprocess 12\nsince 2026-01-01T00:00:00Z\n");
  std::atomic<bool> end = false;
  std::thread beats([&] {
    for (; !end; std::this_thread::sleep_for(50ms)) fs::last_write_time(lock_, fs::file_time_type::clock::now());
  });
  EXPECT_NE(refusal().find("process 12 on elsewhere"), std::string::npos);
  end = true;
  beats.join();
}

TEST_F(RunLockTest, ARunOfAnotherNodeThatIsDeadIsWatchedAndThenTakenOver) {
  leave("host elsewhere\nprocess 12\nsince 2026-01-01T00:00:00Z\n");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(refusal(), "");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, kQuick.watch);
  leave("host elsewhere\nprocess 12\nsince 2026-01-01T00:00:00Z\n");
  fs::last_write_time(lock_, fs::file_time_type::clock::now() - 60s);  // long dead
  const auto again = std::chrono::steady_clock::now();
  EXPECT_EQ(refusal(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - again, 200ms);
}

TEST_F(RunLockTest, ARequeuedJobWaitsForItsEarlierRun) {
  be_job("5", "0");
  auto earlier = std::make_unique<RunLock>(output_, kQuick);
  be_job("5", "1");
  std::thread ends([&] {
    std::this_thread::sleep_for(200ms);
    earlier.reset();
  });
  EXPECT_EQ(refusal(), "");
  ends.join();
  be_job("5", "1");
  const RunLock later(output_, kQuick);
  be_job("5", "0");
  EXPECT_NE(refusal(), "") << "the earlier run does not push in";
  be_job("5", "2");
  EXPECT_NE(refusal(), "") << "a run that does not end is not waited for without a limit";
}

TEST_F(RunLockTest, AnUnreadableHolderIsNoHolder) {
  leave("\1\2\3");
  EXPECT_EQ(refusal(), "");
  leave("");
  EXPECT_EQ(refusal(), "");
}

}  // namespace
}  // namespace riverrun::jobs
