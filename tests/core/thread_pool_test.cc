// The thread pool: every task exactly once, nothing running after run() returns, exceptions to the caller.
// Run under the thread sanitizer too.
#include "core/thread_pool.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"

namespace riverrun {
namespace {

class ThreadPoolTest : public ::testing::TestWithParam<int> {
 protected:
  ThreadPool pool_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 3, 8),
                         [](const auto& tested) { return std::to_string(tested.param); });

TEST_P(ThreadPoolTest, CountsTheCallingThread) { EXPECT_EQ(pool_.threads(), GetParam()); }

TEST_P(ThreadPoolTest, EveryTaskRunsExactlyOnceOnAWorkerInRange) {
  for (const Index tasks : {0, 1, 2, 3, 7, 8, 9, 1000}) {
    std::vector<int> count(static_cast<std::size_t>(tasks));  // plain ints: a task run twice is a data race as well
    std::atomic<bool> in_range{true};
    pool_.run(tasks, [&](Index task, int worker) {
      ++count[static_cast<std::size_t>(task)];
      if (worker < 0 || worker >= pool_.threads()) in_range = false;
    });
    EXPECT_EQ(count, std::vector<int>(static_cast<std::size_t>(tasks), 1));
    EXPECT_TRUE(in_range);
  }
}

TEST_P(ThreadPoolTest, NoTwoTasksShareAWorkerAtOneTime) {
  // Scratch memory is kept per worker, so this is what makes it safe.
  std::vector<int> scratch(static_cast<std::size_t>(pool_.threads()));
  pool_.run(2000, [&](Index, int worker) { ++scratch[static_cast<std::size_t>(worker)]; });
  EXPECT_EQ(std::accumulate(scratch.begin(), scratch.end(), 0), 2000);
}

// Which is what keeps data in the caches of one worker from run to run.
TEST_P(ThreadPoolTest, EveryWorkerBeginsWithItsOwnRange) {
  const int threads = pool_.threads();
  for (const Index each : {1, 3}) {
    std::vector<std::atomic<Index>> first(static_cast<std::size_t>(threads));
    for (auto& task : first) task = -1;
    std::atomic<int> begun{0};
    pool_.run(threads * each, [&](Index task, int worker) {
      auto& own = first[static_cast<std::size_t>(worker)];
      if (own != -1) return;
      own = task;
      // Nobody is through before all have begun.
      for (++begun; begun < threads;) std::this_thread::yield();
    });
    for (int worker = 0; worker < threads; ++worker) EXPECT_EQ(first[static_cast<std::size_t>(worker)], worker * each);
  }
}

TEST_P(ThreadPoolTest, OthersTakeWhatASlowWorkerHasNotBegun) {
  if (pool_.threads() == 1) GTEST_SKIP() << "there are no others";
  constexpr Index kTasks = 64;
  std::atomic<Index> done{0};
  pool_.run(kTasks, [&](Index task, int) {
    while (task == 0 && done < kTasks - 1) std::this_thread::yield();
    ++done;
  });
  EXPECT_EQ(done, kTasks);
}

TEST_P(ThreadPoolTest, WhatTasksWroteIsSeenByTheCallerAndByTheNextRun) {
  std::vector<Index> value(64);
  for (Index round = 1; round <= 300; ++round) {
    pool_.run(64, [&](Index task, int) { value[static_cast<std::size_t>(63 - task)] += round; });
    for (const Index v : value) ASSERT_EQ(v, round * (round + 1) / 2);
  }
}

TEST_P(ThreadPoolTest, AnExceptionReachesTheCallerAndThePoolWorksOn) {
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(pool_.run(100, [](Index task, int) { RR_CHECK(task != 37, "task 37"); }), Error);
    std::atomic<Index> sum{0};
    pool_.run(100, [&](Index task, int) { sum += task; });
    EXPECT_EQ(sum, 4950);
  }
}

TEST_P(ThreadPoolTest, WhenEveryTaskThrowsOneExceptionArrives) {
  std::atomic<int> entered{0};
  EXPECT_THROW(pool_.run(64, [&](Index, int) { ++entered; throw std::runtime_error("each"); }), std::runtime_error);
  EXPECT_GE(entered, 1);
  EXPECT_LE(entered, pool_.threads()) << "a worker went on after its exception";
}

TEST_P(ThreadPoolTest, NoTaskRunsAfterRunHasThrown) {
  std::atomic<bool> returned{false}, late{false};
  try {
    pool_.run(1000, [&](Index task, int) {
      if (returned) late = true;
      if (task == 3) throw std::runtime_error("stop");
      std::this_thread::yield();
    });
    ADD_FAILURE() << "the exception was lost";
  } catch (const std::runtime_error&) {
    returned = true;
  }
  pool_.run(GetParam(), [](Index, int) {});
  EXPECT_FALSE(late);
}

TEST_P(ThreadPoolTest, ABodyThatOwnsItsStateIsUsedInPlace) {
  struct Counter {
    std::atomic<Index> calls{0};
    void operator()(Index, int) { ++calls; }
  } counter;
  pool_.run(123, counter);
  EXPECT_EQ(counter.calls, 123);
}

TEST_P(ThreadPoolTest, RangesCoverEverythingOnceInOrderAndNoneIsTooShort) {
  for (const Index size : {0, 1, 2, 5, 63, 64, 65, 1000}) {
    for (const Index least : {0, 1, 16, 64, 5000}) {
      std::vector<int> count(static_cast<std::size_t>(size));
      std::atomic<Index> ranges{0}, shortest{size};
      pool_.run_ranges(size, least, [&](Index begin, Index end, int) {
        for (Index i = begin; i < end; ++i) ++count[static_cast<std::size_t>(i)];
        ++ranges;
        for (Index seen = shortest; end - begin < seen && !shortest.compare_exchange_weak(seen, end - begin);) {}
      });
      EXPECT_EQ(count, std::vector<int>(static_cast<std::size_t>(size), 1)) << size << " by " << least;
      EXPECT_LE(ranges, pool_.threads());
      EXPECT_GE(shortest, std::min(least, size)) << size << " by " << least;
    }
  }
}

TEST(ThreadPoolLifeTest, FewerThanOneThreadIsAnError) {
  EXPECT_THROW(ThreadPool(0), Error);
  EXPECT_THROW(ThreadPool(-2), Error);
}

TEST(ThreadPoolLifeTest, AThreadThatCannotBeStartedIsAnErrorAndNotACrash) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers need the memory that this test takes away";
#endif
  // In a process of its own: room for a few stacks of threads, not for 1,000.
  const auto starve_and_start = [] {
    const rlimit little{std::size_t{512} << 20, std::size_t{512} << 20};
    if (setrlimit(RLIMIT_AS, &little) != 0) std::_Exit(3);
    try {
      ThreadPool pool(1000);
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      std::_Exit(0);
    }
    std::_Exit(4);
  };
  EXPECT_EXIT(starve_and_start(), ::testing::ExitedWithCode(0), "cannot start 1000 threads");
}

TEST(ThreadPoolLifeTest, PoolsComeAndGoUsedOrNot) {
  for (int round = 0; round < 100; ++round) {
    ThreadPool unused(3);
    ThreadPool used(3);
    std::atomic<int> calls{0};
    used.run(5, [&](Index, int) { ++calls; });
    ASSERT_EQ(calls, 5);
  }
}

TEST(ThreadPoolLifeTest, ATaskMayUseAnotherPool) {
  // As ranks that are threads do: each has its own pool.
  ThreadPool outer(3);
  std::vector<Index> sums(6);
  outer.run(6, [&](Index task, int) {
    ThreadPool inner(2);
    std::atomic<Index> sum{0};
    inner.run(100, [&](Index i, int) { sum += i; });
    sums[static_cast<std::size_t>(task)] = sum;
  });
  EXPECT_EQ(sums, std::vector<Index>(6, 4950));
}

TEST(ThreadPoolStressTest, SeveralOwnersRunManyShortRunsAtOnce) {
  std::vector<std::thread> owners;
  std::atomic<Index> total{0};
  for (int owner = 0; owner < 3; ++owner) {
    owners.emplace_back([&] {
      ThreadPool pool(3);
      Index sum = 0;
      std::vector<Index> part(3);
      for (Index round = 0; round < 2000; ++round) {
        const Index tasks = round % 7;
        pool.run(tasks, [&](Index, int worker) { ++part[static_cast<std::size_t>(worker)]; });
        sum += tasks;
      }
      total += std::accumulate(part.begin(), part.end(), Index{0}) - sum;
    });
  }
  for (auto& owner : owners) owner.join();
  EXPECT_EQ(total, 0) << "tasks were lost or run twice";
}

TEST(ThreadPoolStressTest, RunsAfterAPauseWakeSleepingWorkers) {
  // Long enough for the workers to give up spinning: the wake-up path.
  ThreadPool pool(4);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> calls{0};
    pool.run(8, [&](Index, int) { ++calls; });
    ASSERT_EQ(calls, 8);
  }
}

}  // namespace
}  // namespace riverrun
