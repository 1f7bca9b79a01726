#include "core/log.h"

#include <atomic>
#include <cstdio>
#include <ctime>

namespace riverrun {

namespace {
thread_local int log_rank = 0;
thread_local int log_size = 1;
std::atomic<LogLevel> least_level{LogLevel::info};
}  // namespace

LogLevel parse_log_level(const std::string& name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "info") return LogLevel::info;
  if (name == "warning") return LogLevel::warning;
  if (name == "error") return LogLevel::error;
  throw InputError("log level '" + name + "' is none of debug, info, warning, error");
}

void set_log_rank(int rank, int size) { log_rank = rank, log_size = size; }
void set_log_level(LogLevel level) { least_level = level; }

void log_line(LogLevel level, const std::string& text) {
  const LogLevel least = least_level;
  if (level < least) return;
  if (log_rank != 0 && level == LogLevel::info && least != LogLevel::debug) return;
  static constexpr const char* names[] = {"debug", "info", "warning", "error"};
  char clock[32];
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::strftime(clock, sizeof clock, "%H:%M:%S", &parts);
  // One write per line, so that lines of several ranks do not mix.
  const std::string line = concat(clock, " ", names[static_cast<int>(level)],
                                  log_size > 1 ? concat(" [", log_rank, "/", log_size, "]") : "", " ", text, "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace riverrun
