// WaitClock: how long a rank has waited for others.
#pragma once

#include "transport/transport.h"

namespace riverrun::ring {

// The time a rank has spent waiting, a wait under way included.
class WaitClock {
 public:
  using TimePoint = transport::Clock::time_point;

  void begin() { begun_ = counted_from_ = transport::Clock::now(); }
  void end() {
    total_ += since(counted_from_);
    begun_ = counted_from_ = {};
  }
  // Around work that is done in the middle of a wait, if one is under way, and is not to count as waiting.
  TimePoint pause() {
    const TimePoint begun = begun_;
    end();
    return begun;
  }
  void resume(TimePoint begun) {
    if (begun == TimePoint{}) return;
    begin();
    begun_ = begun;
  }
  // Since the wait that is under way began, pauses included.
  transport::Clock::duration under_way() const { return since(begun_); }
  double seconds() const { return std::chrono::duration<double>(total_ + since(counted_from_)).count(); }

 private:
  static transport::Clock::duration since(TimePoint time) {
    return time == TimePoint{} ? transport::Clock::duration{} : transport::Clock::now() - time;
  }

  TimePoint begun_{}, counted_from_{};  // of the wait that is under way
  transport::Clock::duration total_{};
};

}  // namespace riverrun::ring
