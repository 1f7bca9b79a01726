// Starts a program under mpirun and looks at how it ends.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "core/error.h"

namespace riverrun::transport {

struct JobEnd {
  int code;
  std::string output;
  double seconds;
};

inline JobEnd run_job(const std::string& way) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string command = concat(MPIRUN, " -n 3 ", PROGRAM, " ", way, " 2>&1 </dev/null");
  FILE* pipe = popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::string output;
  char part[4096];
  for (std::size_t got; (got = std::fread(part, 1, sizeof part, pipe)) > 0;) output.append(part, got);
  const int status = pclose(pipe);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output, seconds.count()};
}

// Three ranks, of which one goes wrong in this way.
inline void expect_end(const std::string& way, int code, const std::string& words) {
  const JobEnd ended = run_job(way);
  EXPECT_EQ(ended.code, code) << ended.output;
  EXPECT_NE(ended.output.find(words), std::string::npos) << ended.output;
  EXPECT_LT(ended.seconds, 40) << ended.output;  // "late" would sleep longer
}

}  // namespace riverrun::transport
