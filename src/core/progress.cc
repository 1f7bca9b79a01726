#include "core/progress.h"

#include <unistd.h>

#include <cstdio>

#include "core/error.h"
#include "core/log.h"

namespace riverrun {

namespace {

constexpr auto kBarInterval = std::chrono::milliseconds(200);
constexpr auto kLogInterval = std::chrono::seconds(30);

template <class... Values>
std::string format(const char* pattern, Values... values) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

}  // namespace

ProgressStyle choose_progress(const std::string& name) {
  if (name == "auto") return isatty(STDERR_FILENO) ? ProgressStyle::bar : ProgressStyle::log;
  if (name == "bar") return ProgressStyle::bar;
  if (name == "log") return ProgressStyle::log;
  if (name == "none") return ProgressStyle::none;
  throw InputError("progress '" + name + "' is none of auto, bar, log, none");
}

std::string short_number(double value) {
  if (value >= 1e9) return format("%.2f G", value / 1e9);
  if (value >= 1e6) return format("%.2f M", value / 1e6);
  if (value >= 1e4) return format("%.1f k", value / 1e3);
  return format("%.0f", value);
}

std::string counted(Index count, const char* what) { return concat(count, " ", what, count == 1 ? "" : "s"); }

std::string short_time(double seconds) {
  if (seconds >= 3600) return format("%d h %02d min", int(seconds / 3600), int(seconds / 60) % 60);
  if (seconds >= 60) return format("%d min %02d s", int(seconds / 60), int(seconds) % 60);
  return format("%.1f s", seconds);
}

Progress::Progress(ProgressStyle style, Index total_tokens)
    : style_(style), total_(total_tokens), begin_(Clock::now()), shown_(begin_) {}

Progress::~Progress() {
  if (line_open_) std::fputc('\n', stderr);
}

void Progress::update(Index tokens_done, Index documents_done, double efficiency) {
  if (style_ == ProgressStyle::none) return;
  const auto now = Clock::now();
  const bool bar = style_ == ProgressStyle::bar;
  const bool complete = bar && tokens_done == total_;
  if (now - shown_ < (bar ? Clock::duration(kBarInterval) : Clock::duration(kLogInterval)) && !complete) return;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  const double share = total_ > 0 ? double(tokens_done) / double(total_) : 1.0;
  const double left = share > 0 ? seconds / share * (1 - share) : 0;
  const std::string text =
      concat(format("%5.1f %%", 100 * share), "  ", short_number(double(tokens_done)), " tokens, ", counted(documents_done, "document"), ", ",
             short_number(double(tokens_done) / seconds), " tokens/s, ", short_time(left), " left, ring efficiency ",
             format("%.0f %%", 100 * efficiency));
  if (!bar) return log_info(text);
  std::fprintf(stderr, "\r%s\033[K", text.c_str());
  std::fflush(stderr);
  line_open_ = true;
}

}  // namespace riverrun
