// Pulse: whether the other ranks still live, and whether any of them gets anything done.
//
// A wait on a busy cluster may be long and right: a rank computes other blocks first, or reads a corpus. It is hopeless when
// a rank has fallen silent, or when all are heard from and none gets anything done: they wait for each other.
#pragma once

#include <vector>

#include "transport/transport.h"

namespace riverrun::transport {

class Pulse {
 public:
  Pulse(int ranks, int own_rank) : own_(own_rank), ranks_(ranks, Rank{Clock::now(), 0}), moved_(Clock::now()) {}

  // Rank `rank` was alive at `at` and had made `steps` steps.
  void hear(int rank, Index steps, Clock::time_point at) {
    ranks_[rank].heard = at;
    if (ranks_[rank].steps == steps) return;
    ranks_[rank].steps = steps;
    moved_ = at;
  }

  Health health(Clock::time_point now) const {
    Health health;
    for (int rank = 0; rank < static_cast<int>(ranks_.size()); ++rank) {
      if (rank == own_ || (health.quietest >= 0 && now - ranks_[rank].heard <= health.silence)) continue;
      health.quietest = rank;
      health.silence = now - ranks_[rank].heard;
    }
    health.standstill = now - moved_;
    return health;
  }

 private:
  struct Rank {
    Clock::time_point heard;
    Index steps;
  };
  int own_;
  std::vector<Rank> ranks_;
  Clock::time_point moved_;
};

}  // namespace riverrun::transport
