// ResultDesk: what a rank has for rank 0, and, on rank 0, the taking of what has come.
#pragma once

#include <functional>
#include <string>

#include "ring/ring.h"
#include "ring/wait_clock.h"

namespace riverrun::ring {

class ResultDesk {
 public:
  // All must outlive it. `waits` counts the time.
  ResultDesk(const Job& job, transport::Transport& transport, WaitClock& waits) : job_(job), transport_(transport), waits_(waits) {}

  // Both wait while too many bytes are on their way.
  void post(const SliceResult& result) { post(pack(result)); }
  void post(const CarryCopy& copy) { post(pack(copy)); }

  // Rank 0: hands some of what has come to the job; elsewhere nothing.
  void take();

  // Called by all ranks: returns on all of them when rank 0 has handed on everything that was posted before. Whether any rank
  // said `stop`. `idle`, if not empty, is called while waiting.
  bool meet(bool stop, const std::string& what, const std::function<void()>& idle = {});

  Index results_taken() const { return results_taken_; }

 private:
  void post(std::vector<std::byte> bytes);
  void take_one(std::span<const std::byte> bytes);
  template <class Condition>
  void wait(Condition condition, const std::string& what, const std::function<void()>& idle = {});

  const Job& job_;
  transport::Transport& transport_;
  WaitClock& waits_;
  transport::Clock::time_point begin_ = transport::Clock::now();
  Index results_taken_ = 0;
  Index words_ = 0;          // of ranks, since the last meeting
  bool stop_said_ = false;
};

}  // namespace riverrun::ring
