// One process of several fails: the job ends promptly with that rank's words and exit code.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "core/error.h"

namespace {
using Clock = std::chrono::steady_clock;

struct Ended {
  int code;
  std::string output;
  double seconds;
};

Ended run(const std::string& way) {
  const auto begin = Clock::now();
  const std::string command = riverrun::concat(MPIRUN, " -n 3 ", PROGRAM, " ", way, " 2>&1 </dev/null");
  FILE* pipe = popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::string output;
  char part[4096];
  for (std::size_t got; (got = std::fread(part, 1, sizeof part, pipe)) > 0;) output.append(part, got);
  const int status = pclose(pipe);
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output, seconds.count()};
}

void expect_end(const std::string& way, int code, const std::string& words) {
  const Ended ended = run(way);
  EXPECT_EQ(ended.code, code) << ended.output;
  EXPECT_NE(ended.output.find(words), std::string::npos) << ended.output;
  EXPECT_LT(ended.seconds, 40) << ended.output;  // "late" would sleep longer
}

TEST(MpiFailure, WrongInputEndsAllWithItsCode) { expect_end("input_error", 2, "rank 1 failed: page 7 is missing"); }
TEST(MpiFailure, AnyExceptionEndsAll) { expect_end("exception", 1, "rank 1 failed: broken pipe organ"); }
TEST(MpiFailure, AnAbortEndsAllWithItsCode) { expect_end("abort", 42, "rank 1 failed: disk full"); }
TEST(MpiFailure, AKilledRankEndsAll) { expect_end("kill", 137, ""); }
TEST(MpiFailure, AMissingRankIsNoticedAtTheDeadline) { expect_end("late", 1, "for the other ranks: start of the ring"); }
TEST(MpiFailure, AllRanksEndWithTheGreatestCode) { expect_end("code", 3, ""); }
TEST(MpiFailure, AResultLeftBehindIsAnError) { expect_end("untaken", 1, "rank 0 ended before it took all results"); }
TEST(MpiFailure, AMessageLeftBehindIsAnError) { expect_end("open_send", 1, "rank 1 ended with 1 messages"); }

}  // namespace
