// Trace: what a rank did when, as a timeline for chrome://tracing or ui.perfetto.dev.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/types.h"

namespace riverrun {

// The events of one rank; one thread writes them. A null Trace* records nothing.
class Trace {
 public:
  using Clock = std::chrono::steady_clock;

  // Times count from `origin`: take it right after a barrier, so that the ranks' clocks line up.
  Trace(int rank, Clock::time_point origin) : rank_(rank), origin_(origin) {}

  // A span [begin, end); `name` and `category` must outlive the trace (string literals). layer < 0: none.
  void add(const char* name, const char* category, Clock::time_point begin, Clock::time_point end, Index block, Index layer);

  // The events as comma-separated JSON objects, as one rank's part of the file.
  std::string json() const;

 private:
  struct Event {
    const char* name;
    const char* category;
    Clock::time_point begin, end;
    Index block, layer;
  };
  int rank_;
  Clock::time_point origin_;
  std::vector<Event> events_;
};

// How the file begins.
inline constexpr const char* kTraceBegin = "{\"traceEvents\":[\n";

// Writes the ranks' parts as one file. Throws Error when it cannot.
void write_trace(const std::string& path, std::span<const std::string> parts);

}  // namespace riverrun
