// Progress: the numbers people read while they wait, and silence where silence was asked for.
#include "core/progress.h"

#include <string>

#include <gtest/gtest.h>

#include "core/error.h"

namespace riverrun {
namespace {

TEST(ProgressTest, StylesAreReadByNameAndAnythingElseIsTheUsersError) {
  EXPECT_EQ(choose_progress("bar"), ProgressStyle::bar);
  EXPECT_EQ(choose_progress("log"), ProgressStyle::log);
  EXPECT_EQ(choose_progress("none"), ProgressStyle::none);
  for (const char* const name : {"", "Bar", "plain"}) EXPECT_THROW(choose_progress(name), InputError) << name;
}

TEST(ProgressTest, WhereStandardErrorIsNoTerminalAutoMeansLogLines) {
  ::testing::internal::CaptureStderr();  // a file takes its place
  const ProgressStyle style = choose_progress("auto");
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(style, ProgressStyle::log);
}

TEST(ProgressTest, NumbersAreShortAndCarryTheirUnit) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(512), "512");
  EXPECT_EQ(short_number(64000), "64.0 k");
  EXPECT_EQ(short_number(1.18e6), "1.18 M");
  EXPECT_EQ(short_number(2.5e9), "2.50 G");
}

TEST(ProgressTest, TimesAreShortAndCarryTheirUnit) {
  EXPECT_EQ(short_time(4.2), "4.2 s");
  EXPECT_EQ(short_time(200), "3 min 20 s");
  EXPECT_EQ(short_time(60), "1 min 00 s");
  EXPECT_EQ(short_time(7500), "2 h 05 min");
}

std::string shown(ProgressStyle style, Index total, Index tokens, Index documents) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress(style, total);
    progress.update(tokens, documents, 0.5);
  }
  return ::testing::internal::GetCapturedStderr();
}

TEST(ProgressTest, TheBarShowsTheEndAndLeavesTheLine) {
  const std::string text = shown(ProgressStyle::bar, 2000, 2000, 3);
  EXPECT_EQ(text.front(), '\r');
  EXPECT_EQ(text.back(), '\n');
  EXPECT_NE(text.find("100.0 %  2000 tokens, 3 documents"), std::string::npos) << text;
  EXPECT_NE(text.find("ring efficiency 50 %"), std::string::npos) << text;
}

TEST(ProgressTest, TheBarDoesNotFlickerAndALogIsNotFlooded) {
  // A machine that stops this thread for 200 ms makes the bar appear rightly: one of several tries is quiet.
  bool quiet = false;
  for (int attempt = 0; attempt < 20 && !quiet; ++attempt) quiet = shown(ProgressStyle::bar, 2000, 1, 0).empty();
  EXPECT_TRUE(quiet);
  EXPECT_EQ(shown(ProgressStyle::log, 2000, 2000, 3), "");
}

TEST(ProgressTest, NoneSaysNothing) { EXPECT_EQ(shown(ProgressStyle::none, 2000, 2000, 3), ""); }

TEST(ProgressTest, NoTokensAtAllIsAllOfThem) {
  EXPECT_NE(shown(ProgressStyle::bar, 0, 0, 0).find("100.0 %"), std::string::npos);
}

}  // namespace
}  // namespace riverrun
