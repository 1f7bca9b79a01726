// The emulator's clusters find what they are there to find: barriers of two blocks that are missing, copies to another block that nobody
// waited for, blocks that end while others still reach them.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "cuda_emulator/emulator.h"

namespace riverrun::cuda_emulator {
namespace {

constexpr unsigned kThreads = 64;

struct Job {
  bool careful;
  std::vector<float>* out;
};

alignas(16) const float kSource[4] = {1, 2, 3, 4};

void nothing(const void*) {}

// Clusters of two blocks, for GPUs that have them.
class CudaEmulatorClusters : public testing::Test {
 protected:
  CudaEmulatorClusters() { set_gpu({.capability = 9}); }
  ~CudaEmulatorClusters() override { set_gpu({}), set_order(Order::forward); }

  // Of one cluster, by order: what the threads of both blocks wrote, block 0's first.
  static std::vector<std::vector<float>> results(void (*body)(const void*), bool careful) {
    std::vector<std::vector<float>> all;
    for (const Order order : {Order::forward, Order::reverse, Order::shuffled}) {
      std::vector<float> out(2 * kThreads, -1.0f);
      const Job job = {careful, &out};
      set_order(order);
      run(dim3(2), dim3(kThreads), sizeof(Shared), body, &job, nullptr, 2);
      all.push_back(out);
    }
    return all;
  }

  struct Shared {
    alignas(16) float sent[4], kept[4];
    SharedBarrier come, read;
  };
  static Shared& shared() { return *static_cast<Shared*>(dynamic_shared()); }
  static float& out(const void* at) {
    return (*static_cast<const Job*>(at)->out)[cluster_rank() * kThreads + threadIdx.x];
  }
  static bool careful(const void* at) { return static_cast<const Job*>(at)->careful; }
  static void make_barriers() {
    if (threadIdx.x == 0) init_barrier(shared().come, 1), init_barrier(shared().read, 1);
    cluster_barrier();
    show_to_copies(), block_barrier();
  }
  static void send_round(unsigned round) {
    for (float& number : shared().sent) number = static_cast<float>(10 * round + cluster_rank());
    send(shared().sent, 16, shared().come, 1);
    arrive_at(shared().come, 1, 16);
  }
};

// Block 0 sends three times from the same place to block 1, which tells when it has read; careless, it does not wait for that.
TEST_F(CudaEmulatorClusters, WhatIsSentComesWhenTheBarrierSaysSo) {
  const auto send_thrice = [](const void* at) {
    make_barriers();
    for (unsigned round = 0; round < 3; ++round) {
      if (cluster_rank() == 0 && threadIdx.x == 0) {
        if (round > 0 && careful(at)) wait_at(shared().read, (round - 1) % 2);
        send_round(round + 1);
      } else if (cluster_rank() == 1 && threadIdx.x == 0) {
        wait_at(shared().come, round % 2);
        out(at) += shared().sent[3];
        if (round < 2) arrive_at(shared().read, 0);
      }
    }
    cluster_barrier();
  };
  for (const auto& out : results(send_thrice, true)) EXPECT_EQ(out[kThreads], 10 + 20 + 30 - 1);
  EXPECT_DEATH(results(send_thrice, false), "more arrive at a barrier");
}

// What was sent and not waited for is not there in every order.
TEST_F(CudaEmulatorClusters, WhatIsNotWaitedForShows) {
  const auto read_at_once = [](const void* at) {
    make_barriers();
    if (cluster_rank() == 0 && threadIdx.x == 0) send_round(1);
    if (cluster_rank() == 1) {
      if (careful(at)) wait_at(shared().come, 0);
      out(at) = shared().sent[0];
      if (!careful(at)) wait_at(shared().come, 0);
    }
    cluster_barrier();
  };
  for (const auto& out : results(read_at_once, true)) EXPECT_EQ(out[kThreads], 10);
  EXPECT_TRUE(std::isnan(results(read_at_once, false)[1][kThreads]));
}

// Lane 0 says that its warp has read; careless, it does not wait for the warp.
TEST_F(CudaEmulatorClusters, ALaneThatLagsBehindItsWarpShows) {
  const auto read_and_tell = [](const void* at) {
    make_barriers();
    if (cluster_rank() == 0 && threadIdx.x < 32) {
      shared().kept[0] = 1;
      const char nothing = 0;
      exchange(&nothing, 1);
      out(at) = shared().kept[0];
      if (careful(at)) exchange(&nothing, 1);
      if (threadIdx.x == 0) arrive_at(shared().read, 0);
    } else if (cluster_rank() == 0 && threadIdx.x == 32) {
      wait_at(shared().read, 0);
      shared().kept[0] = 2;
    }
    cluster_barrier();
  };
  const auto last_lane = [&](bool careful) {
    std::vector<float> out(2 * kThreads, -1.0f);
    const Job job = {careful, &out};
    set_order(Order::starved, 0);
    run(dim3(2), dim3(kThreads), sizeof(Shared), read_and_tell, &job, nullptr, 2);
    return out[31];
  };
  EXPECT_EQ(last_lane(true), 1);
  EXPECT_EQ(last_lane(false), 2);
}

TEST_F(CudaEmulatorClusters, UsedWronglyEndTheProgram) {
  const auto one = [](void (*body)(const void*), unsigned size) {
    const Job job = {};
    run(dim3(2), dim3(kThreads), sizeof(Shared), body, &job, nullptr, size);
  };
  EXPECT_DEATH(one([](const void*) { arrive_at(shared().come, 1); }, 2), "not made");
  EXPECT_DEATH(one([](const void*) { make_barriers(), arrive_at(shared().come, 2); }, 2), "not in the cluster");
  EXPECT_DEATH(one([](const void*) { make_barriers(), wait_at(shared().come, 0); }, 2), "threads wait for others");
  EXPECT_DEATH(one(
                   [](const void*) {
                     if (cluster_rank() == 0) cluster_barrier();
                   },
                   2),
               "threads wait for others");
  EXPECT_DEATH(one(
                   [](const void*) {
                     make_barriers();
                     if (cluster_rank() == 1) return;
                     show_to_copies(), block_barrier();
                     if (threadIdx.x == 0) send_round(0);
                   },
                   2),
               "has ended before what comes to it");
  set_order(Order::reverse);
  EXPECT_DEATH(one(
                   [](const void*) {
                     make_barriers();
                     if (cluster_rank() == 0 && threadIdx.x == 0) send_round(0);
                     if (cluster_rank() == 1) wait_at(shared().come, 0);
                   },
                   2),
               "has ended before what was sent has come");
  set_order(Order::forward);
  EXPECT_DEATH(one(
                   [](const void*) {
                     make_barriers();
                     if (cluster_rank() == 0 && threadIdx.x == 0) arrive_at(shared().come, 1, 16);
                     cluster_barrier();
                   },
                   2),
               "before a barrier was complete");
  EXPECT_DEATH(one([](const void*) { make_barriers(), send(&shared().sent[1], 16, shared().come, 1); }, 2), "not aligned");
  EXPECT_DEATH(one([](const void*) { make_barriers(), send(kSource, 16, shared().come, 1); }, 2), "not in the launch's");
  EXPECT_DEATH(one(
                   [](const void*) {
                     make_barriers();
                     if (threadIdx.x % 2 == 0) show_to_copies();
                     block_barrier();
                     if (cluster_rank() == 0 && threadIdx.x == 0) send_round(0);
                   },
                   2),
               "not shown to copies");
  EXPECT_DEATH(one(nothing, 4), "whole clusters");
  set_gpu({});
  EXPECT_DEATH(one(nothing, 2), "a GPU that has none");
}

}  // namespace
}  // namespace riverrun::cuda_emulator
