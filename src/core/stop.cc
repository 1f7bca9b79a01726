#include "core/stop.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "core/error.h"

namespace riverrun {

namespace {

struct Named {
  int number;
  const char* name;
};
constexpr Named kSignals[] = {{SIGUSR1, "USR1"}, {SIGTERM, "TERM"}, {SIGINT, "INT"}};

// Only lock-free atomics and calls that POSIX allows in a handler are used there.
std::atomic<int> noted_signal = 0;
std::atomic<long> noted_at = 0;  // milliseconds
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<long>::is_always_lock_free);

std::atomic<long> same_wish = 0;  // milliseconds

long now_milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);  // cannot fail for this clock
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void leave(int) { ::_exit(static_cast<int>(ExitCode::stopped)); }

void note(int number) {
  int none = 0;
  if (noted_signal.compare_exchange_strong(none, number)) {
    noted_at.store(now_milliseconds());
    return;
  }
  if (noted_at.load() == 0 || now_milliseconds() - noted_at.load() < same_wish.load()) return;
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  if (::sigaction(number, &standard, nullptr) != 0) ::_exit(static_cast<int>(ExitCode::failed));
  ::raise(number);  // delivered when the handler returns
}

void set_handler(void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  for (const Named& signal : kSignals) {
    if (::sigaction(signal.number, &action, nullptr) != 0) throw Error(with_errno(concat("cannot handle signal ", signal.name)));
  }
}

}  // namespace

void exit_on_stop_signals() { set_handler(leave); }
void note_stop_signals(int same_wish_milliseconds) {
  same_wish = same_wish_milliseconds;
  set_handler(note);
}

bool stop_requested() { return noted_signal.load(std::memory_order_relaxed) != 0; }

void end_reading_if_stopped() {
  if (stop_requested()) throw Error("stopped on a signal while reading the input, before anything was computed; run the same command again", ExitCode::stopped);
}

const char* stop_signal_name() {
  for (const Named& signal : kSignals) {
    if (signal.number == noted_signal.load()) return signal.name;
  }
  return nullptr;
}

}  // namespace riverrun
