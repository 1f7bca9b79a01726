// The emulator finds what it is there to find: barriers that are missing, copies that nobody waited for,
// shared memory that nobody wrote, threads that wait for ever.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "cuda_emulator/cuda_emulated.h"
#include "cuda_emulator/emulator.h"
#include "cuda_emulator/rehearsal.h"

namespace riverrun::cuda_emulator {
namespace {

constexpr unsigned kThreads = 64;
constexpr Order kOrders[] = {Order::forward, Order::reverse, Order::shuffled};

struct Job {
  bool careful;
  std::vector<float>* out;
};

// Runs one block in every order; what each wrote.
std::vector<std::vector<float>> results(void (*body)(const void*), bool careful) {
  std::vector<std::vector<float>> all;
  for (const Order order : kOrders) {
    std::vector<float> out(kThreads, -1.0f);
    const Job job = {careful, &out};
    set_order(order);
    run(dim3(1), dim3(kThreads), kThreads * sizeof(float), body, &job);
    all.push_back(out);
  }
  set_order(Order::forward);
  return all;
}

// Every thread hands its number to the next one through shared memory.
void pass_on(const void* at) {
  const auto& job = *static_cast<const Job*>(at);
  auto* const shared = static_cast<float*>(dynamic_shared());
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (job.careful) block_barrier();
  (*job.out)[threadIdx.x] = shared[(threadIdx.x + 1) % kThreads];
}

TEST(CudaEmulator, ABarrierOrdersABlock) {
  for (const auto& out : results(pass_on, true)) {
    for (unsigned i = 0; i < kThreads; ++i) EXPECT_EQ(out[i], static_cast<float>((i + 1) % kThreads));
  }
}

TEST(CudaEmulator, AMissingBarrierShows) {
  const auto all = results(pass_on, false);
  EXPECT_NE(std::memcmp(all[0].data(), all[1].data(), kThreads * sizeof(float)), 0);
  EXPECT_TRUE(std::isnan(all[0][0]));  // thread 1 had not yet written
}

void nothing(const void*) {}
void one_object(const void*) { static_shared(128); }

TEST(CudaEmulator, SharedMemoryHasToBeAllowedAndHasAnEnd) {
  const int kernel = 0, other = 0;  // stand for the addresses of kernels
  run(dim3(1), dim3(32), 48 << 10, nothing, nullptr, &kernel);
  EXPECT_DEATH(run(dim3(1), dim3(32), (48 << 10) + 16, nothing, nullptr, &kernel), "than the kernel was allowed");
  EXPECT_DEATH(run(dim3(1), dim3(32), 48 << 10, one_object, nullptr, &kernel), "with its own object");
  allow_shared(&kernel, 60 << 10);
  run(dim3(1), dim3(32), 60 << 10, one_object, nullptr, &kernel);
  EXPECT_DEATH(run(dim3(1), dim3(32), 61 << 10, nothing, nullptr, &kernel), "than the kernel was allowed");
  EXPECT_DEATH(run(dim3(1), dim3(32), 60 << 10, nothing, nullptr, &other), "than the kernel was allowed");
  allow_shared(&kernel, 200 << 10);
  EXPECT_DEATH(run(dim3(1), dim3(32), 200 << 10, nothing, nullptr, &kernel), "than the kernel was allowed");
}

// Warp 0 waits for what warp 1 has to say, which does not wait; careless, it does not wait either.
void hand_over(const void* at) {
  const auto& job = *static_cast<const Job*>(at);
  auto* const shared = static_cast<float*>(dynamic_shared());
  const unsigned lane = threadIdx.x % 32;
  for (unsigned round = 0; round < 3; ++round) {
    if (threadIdx.x >= 32) {
      shared[16 * round + lane / 2] = static_cast<float>(100 * round + lane / 2);
      barrier(3 + round, 64, false);
    } else {
      if (job.careful) barrier(3 + round, 64, true);
      (*job.out)[threadIdx.x] += shared[16 * round + (lane + 1) % 16];
      if (!job.careful) barrier(3 + round, 64, true);
    }
  }
}

TEST(CudaEmulator, ABarrierOfSomeWarpsOrdersThem) {
  for (const auto& out : results(hand_over, true)) EXPECT_EQ(out[7], 8 + 108 + 208 - 1);
  // In order, warp 0 comes before anything was said; in any, whoever arrives and goes on is overtaken.
  for (const auto& out : results(hand_over, false)) EXPECT_TRUE(std::isnan(out[7]));
}

// One number, several times: who comes back for the next round waits for that, and others' numbers are no matter.
void rounds(const void* at) {
  const auto& job = *static_cast<const Job*>(at);
  for (int round = 0; round < 4; ++round) {
    barrier(threadIdx.x < 32 ? 1 : 2, 32, true);
    block_barrier();
    barrier(0, kThreads, true);
  }
  (*job.out)[threadIdx.x] = 4;
}

TEST(CudaEmulator, BarriersMayBeUsedAgain) {
  for (const auto& out : results(rounds, true)) EXPECT_EQ(out[40], 4);
}

alignas(16) const float kSource[4] = {1, 2, 3, 4};
volatile float kept;

void copy(const void* at) {
  const auto& job = *static_cast<const Job*>(at);
  auto* const shared = static_cast<float*>(dynamic_shared());
  if (threadIdx.x == 0) {
    copy_async(shared, kSource, 16);
    commit_copies();
    if (job.careful) wait_copies(0);
  }
  block_barrier();
  (*job.out)[threadIdx.x] = shared[threadIdx.x % 4];
  block_barrier();
  wait_copies(0);
}

TEST(CudaEmulator, ACopyThatNobodyWaitedForShows) {
  for (const auto& out : results(copy, true)) EXPECT_EQ(out[3], 4);
  EXPECT_TRUE(std::isnan(results(copy, false)[1][3]));
}

// A product's weights may be fetched before the kernel before has ended, and nothing else touched.
struct EarlyJob {
  void (*before)(const float*);
  const float* memory;
};

TEST(CudaEmulatorDeathTest, WhatIsTouchedBeforeTheKernelBeforeHasEndedShows) {
  const auto begin = [](void (*before)(const float*)) {
    EarlyJob job = {before, kSource};
    const auto body = [](const void* at) {
      const auto& of = *static_cast<const EarlyJob*>(at);
      of.before(of.memory);
      wait_for_previous();
    };
    rehearse(dim3(3), dim3(kThreads), body, &job, &job.memory, sizeof job.memory);
  };
  begin([](const float*) {});
  begin([](const float* memory) { fetch_into_l2(memory, 16); });
  EXPECT_DEATH(begin([](const float* memory) { kept = *memory; }), "before it waits");
  EXPECT_DEATH(begin([](const float* memory) { kept = threadIdx.x == 63 && blockIdx.x == 2 ? *memory : 0; }), "before it waits");
  EXPECT_DEATH(begin([](const float* memory) { fetch_into_l2(memory + 1, 16); }), "whole 16 bytes");
}

TEST(CudaEmulatorDeathTest, EveryThreadWaitsForTheKernelBefore) {
  const auto body = [](const void*) {
    if (threadIdx.x != 7) wait_for_previous();
  };
  const void* nothing_to_spoil = nullptr;
  EXPECT_DEATH(rehearse(dim3(1), dim3(kThreads), body, nullptr, &nothing_to_spoil, sizeof nothing_to_spoil), "has not waited");
}

void exchange_numbers(const void* at) {
  const auto& job = *static_cast<const Job*>(at);
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    const float mine = static_cast<float>(threadIdx.x) + 100.0f * static_cast<float>(round);
    const auto* const all = exchange(&mine, sizeof(mine));
    float other;
    std::memcpy(&other, all + (threadIdx.x % 32 ^ 1) * kExchangeBytes, sizeof(other));
    sum += other;
  }
  (*job.out)[threadIdx.x] = sum;
}

TEST(CudaEmulator, LanesOfAWarpExchange) {
  for (const auto& out : results(exchange_numbers, true)) {
    for (unsigned i = 0; i < kThreads; ++i) EXPECT_EQ(out[i], 3.0f * static_cast<float>(i ^ 1u) + 300.0f);
  }
}

// 1 and one product: of 2^-23 when careful, else of 1.5 times half of that.
void add_little(const void* at) {
  const auto& job = *static_cast<const Job*>(at);
  float sum[4] = {1, 1, 1, 1};
  const bool first = threadIdx.x % 4 == 0;  // lanes that hold column 0 of the left operand, row 0 of the right one
  const std::uint32_t left = as_bits(first ? job.careful ? 0x1p-11f : 0x1.8p-12f : 0.0f), right = as_bits(first ? 0x1p-12f : 0.0f);
  multiply_tf32(sum, {left, left, 0, 0}, {right, 0});
  (*job.out)[threadIdx.x] = sum[3];
}

TEST(CudaEmulator, TensorCoresCutOffInsteadOfRounding) {
  for (const auto& out : results(add_little, true)) EXPECT_EQ(out[7], 1 + 0x1p-23f);
  for (const auto& out : results(add_little, false)) EXPECT_EQ(out[7], 1);
}

void leave_early(const void*) {
  if (threadIdx.x != 5) block_barrier();
}

void counts_differ(const void*) { barrier(1, threadIdx.x / 32 == blockIdx.x ? 64 : 32, true); }
void count_too_large(const void*) { barrier(1, 2 * kThreads, true); }
void count_of_half_a_warp(const void*) { barrier(1, 16, true); }
void part_of_a_warp(const void*) {
  if (threadIdx.x % 2 == 0) barrier(1, 32, true);
}
void arrive_twice(const void*) {
  if (threadIdx.x < 32) barrier(1, 64, false), barrier(1, 64, false);
}
void nobody_comes(const void*) {
  if (threadIdx.x < 32) barrier(1, 64, true);
}
void nobody_waits(const void*) {
  if (threadIdx.x < 32) barrier(1, 64, false);
}
void no_such_barrier(const void*) { barrier(16, 64, true); }
void wait_for_each_other(const void*) {
  barrier(threadIdx.x < 32 ? 1 : 2, 64, true);
  barrier(threadIdx.x < 32 ? 2 : 1, 64, true);
}

TEST(CudaEmulatorDeathTest, BarriersUsedWronglyEndTheProgram) {
  const Job job = {};
  const auto run_one = [&](void (*body)(const void*)) { run(dim3(1), dim3(kThreads), 0, body, &job); };
  EXPECT_DEATH(run_one(counts_differ), "disagree");
  EXPECT_DEATH(run_one(count_too_large), "whole warps of the block");
  EXPECT_DEATH(run_one(count_of_half_a_warp), "whole warps of the block");
  EXPECT_DEATH(run_one(part_of_a_warp), "a part of a warp");
  EXPECT_DEATH(run_one(arrive_twice), "twice");
  EXPECT_DEATH(run_one(nobody_comes), "threads wait for others");
  EXPECT_DEATH(run_one(nobody_waits), "before a barrier was complete");
  EXPECT_DEATH(run_one(no_such_barrier), "not there");
  EXPECT_DEATH(run_one(wait_for_each_other), "threads wait for others");
}

TEST(CudaEmulatorDeathTest, ThreadsThatWaitForEverEndTheProgram) {
  const Job job = {};
  EXPECT_DEATH(run(dim3(1), dim3(kThreads), 0, leave_early, &job), "threads wait for others");
  EXPECT_DEATH(run(dim3(1), dim3(33), 0, leave_early, &job), "whole warps");
  EXPECT_DEATH(run(dim3(1, 65536), dim3(32), 0, leave_early, &job), "65,535");
}

}  // namespace
}  // namespace riverrun::cuda_emulator
