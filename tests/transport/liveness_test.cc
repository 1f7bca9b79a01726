// A wait ends when there is no hope left, and not before: slow ranks that live are waited for, silent or stuck ones are
// given up.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/error.h"
#include "tests/transport/failure_of.h"
#include "transport/pulse.h"
#include "transport/transport.h"

namespace riverrun::transport {
namespace {

using namespace std::chrono_literals;
constexpr auto kTimeout = 1s;  // within which a living rank gets a core, on a machine with much else to do

TEST(Liveness, ASlowRankThatGetsOnIsWaitedFor) {
  EXPECT_EQ(failure_of(3, [](Transport& transport) {
              if (transport.rank() == 1) {
                for (int step = 0; step < 40; ++step) {  // twice the deadline
                  std::this_thread::sleep_for(50ms);
                  transport.note_step();
                  transport.progress();
                }
              }
              transport.barrier("the slow one", kTimeout);
              return 0;
            }),
            "none");
}

TEST(Liveness, ASilentRankIsNamed) {
  std::atomic<bool> given_up = false;
  const std::string message = failure_of(3, [&](Transport& transport) {
    const auto begin = Clock::now();
    while (transport.rank() == 1 && !given_up && Clock::now() - begin < 60s) std::this_thread::sleep_for(1ms);
    try {
      transport.barrier("the silent one", kTimeout);
    } catch (const Error&) {
      given_up = true;
      throw;
    }
    return 0;
  });
  EXPECT_NE(message.find("rank 1 has been silent"), std::string::npos) << message;
  EXPECT_NE(message.find("the silent one"), std::string::npos) << message;
}

TEST(Liveness, RanksThatWaitForEachOtherAreGivenUp) {
  const std::string message = failure_of(2, [](Transport& transport) {
    wait_until(transport, [] { return false; }, kTimeout, [] { return std::string("a message nobody sends"); });
    return 0;
  });
  EXPECT_NE(message.find("no rank has got anything done"), std::string::npos) << message;
}

TEST(Pulse, TellsTheQuietestAndTheStandstillApart) {
  const auto start = Clock::now() + 1s;
  Pulse pulse(3, 0);
  for (int rank = 0; rank < 3; ++rank) pulse.hear(rank, 1, start);
  pulse.hear(1, 1, start + 5s);  // lives, gets nothing done
  pulse.hear(2, 2, start + 3s);
  const Health health = pulse.health(start + 10s);
  EXPECT_EQ(health.quietest, 2);
  EXPECT_EQ(health.silence, Clock::duration(7s));
  EXPECT_EQ(health.standstill, Clock::duration(7s));
}

}  // namespace
}  // namespace riverrun::transport
