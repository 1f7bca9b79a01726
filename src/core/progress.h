// Progress: one line that says how far a job is, for a person watching or for a log.
#pragma once

#include <chrono>
#include <string>

#include "core/types.h"

namespace riverrun {

enum class ProgressStyle {
  bar,   // one line on standard error, rewritten in place
  log,   // a log line every 30 seconds
  none,
};

// "auto" is a bar on a terminal, otherwise log lines; under mpirun standard error is never a terminal. InputError
// for a name that is none of auto, bar, log, none.
ProgressStyle choose_progress(const std::string& name);

// "1.18 M", "64.0 k", "512"
std::string short_number(double value);
// "1 document", "2 documents".
std::string counted(Index count, const char* what);
// "2 h 05 min", "3 min 20 s", "4.2 s"
std::string short_time(double seconds);

class Progress {
 public:
  Progress(ProgressStyle style, Index total_tokens);
  ~Progress();

  // `efficiency`: share of the time so far in which this rank computed, in [0, 1].
  void update(Index tokens_done, Index documents_done, double efficiency);

 private:
  using Clock = std::chrono::steady_clock;
  ProgressStyle style_;
  Index total_;
  Clock::time_point begin_, shown_;
  bool line_open_ = false;
};

}  // namespace riverrun
