// The cases of all transports over NCCL, which is emulated, so that a machine without a GPU guards everything around it.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "tests/support/nccl_emulator/emulator.h"
#include "tests/transport/cases.h"
#include "tests/transport/process_cases.h"
#include "transport/ranks.h"

namespace riverrun::transport {
namespace {

// Whatever is under way anywhere between its notes, its GPU and its end, nothing of it is left.
TEST(Nccl, WhatWasAbandonedDoesNotMeetWhatFollows) {
  Transport& world = this_rank();
  const int ranks = world.size(), after = (world.rank() + 1) % ranks, before = (world.rank() + ranks - 1) % ranks;
  std::minstd_rand random(static_cast<unsigned>(world.rank()) + 1);
  for (unsigned round = 0; round < 40; ++round) {
    constexpr Index kSize = 20'000;
    std::vector<std::byte> in(kSize), out = pattern(kSize, 2 * round);
    for (unsigned i = 0; i < random() % 4; ++i) world.post_receive(before, 0, in);
    for (unsigned i = 0; i < random() % 4; ++i) world.post_send(after, 0, out);
    const auto until = Clock::now() + std::chrono::microseconds(random() % 1000);
    while (Clock::now() < until) world.progress();
    world.abandon(kDeadline);
    world.barrier("every rank to have given up", kDeadline);
    out = pattern(kSize, 2 * round + 1);
    const Ticket receive = world.post_receive(before, 0, in), send = world.post_send(after, 0, out);
    finish(world, receive);
    finish(world, send);
    ASSERT_EQ(in, out) << "round " << round;
  }
}

}  // namespace
}  // namespace riverrun::transport

int main(int argc, char** argv) {
  using namespace riverrun;
  testing::InitGoogleTest(&argc, argv);
  testing::GTEST_FLAG(throw_on_failure) = false;
  transport::Options options;
  options.device = &nccl_emulator::gpu();
  const int code = transport::run_nccl(options, [](transport::Transport& transport) { return transport::run_all_tests(transport, false); });
  if (nccl_emulator::open_communicators() == 0) return code;
  std::fprintf(stderr, "%d communicators were not destroyed\n", nccl_emulator::open_communicators());
  return 1;
}
