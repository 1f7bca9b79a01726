// What ends a run whose ranks are threads.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <string>

#include "transport/transport.h"

namespace riverrun::transport {

// The message of the exception that run_ranks() throws, "none" when it throws none.
inline std::string failure_of(int ranks, const std::function<int(Transport&)>& body) {
  const auto begin = Clock::now();
  std::string text = "none";
  try {
    run_ranks("threads", {.ranks = ranks}, body);
  } catch (const std::exception& error) {
    text = error.what();
  }
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(20)) << "the other ranks were not ended promptly";
  return text;
}

}  // namespace riverrun::transport
