// The log: who speaks at which level, and lines that stay whole when ranks are threads of one process.
#include "core/log.h"

#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace riverrun {
namespace {

class LogTest : public ::testing::Test {
 protected:
  ~LogTest() override {
    set_log_level(LogLevel::info);
    set_log_rank(0, 1);
  }

  // `line` without its leading "12:34:56 ", or a complaint.
  static std::string after_clock(const std::string& line) {
    const std::string shape = "00:00:00 ";
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const char seen = i < line.size() ? line[i] : '\0';
      if (shape[i] == '0' ? seen < '0' || seen > '9' : seen != shape[i]) return "no clock in: " + line;
    }
    return line.substr(shape.size());
  }

  // The levels, first letters, that rank `rank` of 2 prints when `least` is asked for.
  static std::string printed(int rank, LogLevel least) {
    set_log_rank(rank, 2);
    set_log_level(least);
    ::testing::internal::CaptureStderr();
    log_debug("D");
    log_info("I");
    log_warning("W");
    log_error("E");
    const std::string text = ::testing::internal::GetCapturedStderr();
    std::istringstream lines(text);
    std::string levels;
    for (std::string line; std::getline(lines, line);) levels += line.back();
    return levels;
  }
};

TEST_F(LogTest, RankZeroSpeaksFromTheLevelAskedFor) {
  EXPECT_EQ(printed(0, LogLevel::debug), "DIWE");
  EXPECT_EQ(printed(0, LogLevel::info), "IWE");
  EXPECT_EQ(printed(0, LogLevel::warning), "WE");
  EXPECT_EQ(printed(0, LogLevel::error), "E");
}

TEST_F(LogTest, OtherRanksKeepToWarningsUnlessDebugIsAskedFor) {
  EXPECT_EQ(printed(1, LogLevel::debug), "DIWE");
  EXPECT_EQ(printed(1, LogLevel::info), "WE");
  EXPECT_EQ(printed(1, LogLevel::warning), "WE");
  EXPECT_EQ(printed(1, LogLevel::error), "E");
}

TEST_F(LogTest, ALineHasTimeLevelRankAndText) {
  set_log_rank(3, 8);
  ::testing::internal::CaptureStderr();
  log_warning("block ", 12, " waits");
  const std::string line = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(after_clock(line), "warning [3/8] block 12 waits\n");
}

TEST_F(LogTest, OneRankAloneHasNoRankPrefix) {
  ::testing::internal::CaptureStderr();
  log_info("hello");
  const std::string line = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(after_clock(line), "info hello\n");
}

TEST_F(LogTest, LevelsAreReadByNameAndAnythingElseIsTheUsersError) {
  EXPECT_EQ(parse_log_level("debug"), LogLevel::debug);
  EXPECT_EQ(parse_log_level("info"), LogLevel::info);
  EXPECT_EQ(parse_log_level("warning"), LogLevel::warning);
  EXPECT_EQ(parse_log_level("error"), LogLevel::error);
  for (const char* const name : {"", "Info", "warn", "info "}) EXPECT_THROW(parse_log_level(name), InputError) << name;
}

TEST_F(LogTest, RanksThatAreThreadsKeepTheirOwnPrefixAndWholeLines) {
  constexpr int kRanks = 4, kLines = 200;
  ::testing::internal::CaptureStderr();
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    ranks.emplace_back([rank] {
      set_log_rank(rank, kRanks);
      for (int line = 0; line < kLines; ++line) log_warning("from ", rank);
    });
  }
  for (auto& rank : ranks) rank.join();

  std::istringstream lines(::testing::internal::GetCapturedStderr());
  std::map<std::string, int> count;
  for (std::string line; std::getline(lines, line);) ++count[after_clock(line)];
  std::map<std::string, int> expected;
  for (int rank = 0; rank < kRanks; ++rank) expected[concat("warning [", rank, "/4] from ", rank)] = kLines;
  EXPECT_EQ(count, expected);
}

}  // namespace
}  // namespace riverrun
