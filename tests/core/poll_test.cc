#include "core/poll.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace riverrun {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

TEST(PollUntil, ReturnsAtTheFirstYes) {
  int asked = 0;
  EXPECT_TRUE(poll_until([&] { return ++asked == 3; }, std::chrono::hours(1)));
  EXPECT_EQ(asked, 3);
}

// However short the deadline: what is there already is no failure.
TEST(PollUntil, AsksBeforeItLooksAtTheClock) {
  EXPECT_TRUE(poll_until([] { return true; }, Clock::duration::zero()));
  EXPECT_FALSE(poll_until([] { return false; }, Clock::duration::zero()));
}

TEST(PollUntil, GivesUpAtTheDeadlineAndNotBefore) {
  const auto begin = Clock::now();
  int asked = 0;
  EXPECT_FALSE(poll_until([&] { return ++asked < 0; }, milliseconds(30)));
  EXPECT_GE(Clock::now() - begin, milliseconds(30));
  EXPECT_GT(asked, 3);
}

// The thread sleeps in a long wait: asked all the time, it would be hundreds of thousands of questions.
TEST(PollUntil, PausesInALongWait) {
  const auto end = Clock::now() + milliseconds(150);
  int late = 0;
  const auto begin = Clock::now();
  EXPECT_TRUE(poll_until([&] {
    if (Clock::now() - begin > milliseconds(20)) ++late;
    return Clock::now() >= end;
  }, std::chrono::hours(1)));
  EXPECT_LT(late, 1000);
}

TEST(PollUntil, PassesOnWhatIsThrown) {
  EXPECT_THROW(poll_until([]() -> bool { throw std::runtime_error("lost"); }, std::chrono::hours(1)), std::runtime_error);
}

}  // namespace
}  // namespace riverrun
