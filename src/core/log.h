// Log: one line per event on standard error, prefixed with time, level and rank.
//
// Rank 0 speaks for all from level info on; other ranks print warnings and errors only, unless debug is asked for.
#pragma once

#include <string>

#include "core/error.h"

namespace riverrun {

enum class LogLevel { debug, info, warning, error };

LogLevel parse_log_level(const std::string& name);  // "debug", "info", "warning", "error"; else InputError

// The rank of the calling thread and its prefix; ranks that are threads set it for themselves.
void set_log_rank(int rank, int size);
void set_log_level(LogLevel level);

void log_line(LogLevel level, const std::string& text);

template <class... Parts>
void log_debug(const Parts&... parts) { log_line(LogLevel::debug, concat(parts...)); }
template <class... Parts>
void log_info(const Parts&... parts) { log_line(LogLevel::info, concat(parts...)); }
template <class... Parts>
void log_warning(const Parts&... parts) { log_line(LogLevel::warning, concat(parts...)); }
template <class... Parts>
void log_error(const Parts&... parts) { log_line(LogLevel::error, concat(parts...)); }

}  // namespace riverrun
