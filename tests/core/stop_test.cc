// A signal is a request, the same wish twice is one, and a later signal ends the process.

#include "core/stop.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

namespace riverrun {
namespace {

using namespace std::chrono_literals;

// Runs `body` in a process of its own; how that ended, as waitpid() says it.
template <class Body>
int status_of(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST(Stop, ASignalIsNotedAndNamed) {
  for (const auto& [number, name] : {std::pair{SIGUSR1, "USR1"}, {SIGTERM, "TERM"}, {SIGINT, "INT"}}) {
    const int status = status_of([number = number, name = name] {
      note_stop_signals();
      if (stop_requested() || stop_signal_name()) ::_exit(1);
      ::raise(number);
      if (!stop_requested() || stop_signal_name() != std::string(name)) ::_exit(2);
    });
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << name << " " << status;
  }
}

TEST(Stop, TheSameWishTwiceIsOneAndALaterSignalEndsTheProcess) {
  const int twice = status_of([] {
    note_stop_signals(60000);
    ::raise(SIGUSR1), ::raise(SIGTERM), ::raise(SIGUSR1);
  });
  EXPECT_TRUE(WIFEXITED(twice) && WEXITSTATUS(twice) == 0) << twice;
  const int later = status_of([] {
    note_stop_signals(10);
    ::raise(SIGUSR1);
    std::this_thread::sleep_for(20ms);
    ::raise(SIGTERM);
  });
  EXPECT_TRUE(WIFSIGNALED(later) && WTERMSIG(later) == SIGTERM) << later;
}

TEST(Stop, BeforeThereIsAnythingToLoseTheProcessEndsAtOnce) {
  const int status = status_of([] {
    exit_on_stop_signals();
    ::raise(SIGTERM);
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 75) << status;
}

}  // namespace
}  // namespace riverrun
