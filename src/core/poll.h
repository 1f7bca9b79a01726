// Waiting for something that can only be asked whether it is there.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace riverrun {

// Asks done() until it says yes: without a pause for some milliseconds, only giving way to other threads, so that a short wait
// ends at once; then after pauses that grow with the time waited, so that a long one leaves the core to others and ends at most
// a 64th late. False when the answer is still no after `deadline`. What done() throws ends the wait.
template <class Done>
bool poll_until(Done done, std::chrono::steady_clock::duration deadline) {
  using Clock = std::chrono::steady_clock;
  constexpr Clock::duration kWithoutPause = std::chrono::milliseconds(4), kMostPause = std::chrono::milliseconds(1);
  const auto begin = Clock::now();
  while (!done()) {
    const Clock::duration waited = Clock::now() - begin;
    if (waited >= deadline) return false;
    if (waited < kWithoutPause) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::min(waited / 64, kMostPause));
    }
  }
  return true;
}

}  // namespace riverrun
