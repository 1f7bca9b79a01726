// Fork: what a job does with states on the rank that computed them, such as writing texts, while the reading goes on as
// if nothing had happened.
#pragma once

#include <functional>
#include <memory>

#include "model/state.h"
#include "plan/plan.h"
#include "ring/result.h"
#include "transport/transport.h"

namespace riverrun::ring {

class Fork {
 public:
  virtual ~Fork() = default;

  // Whether the state after this slice is wanted; the same answer on every rank. Each of them gives one result.
  virtual bool wants(const plan::Slice& slice) const = 0;
  // The state after a slice that is wanted: a copy, all layers.
  virtual void take(const plan::Slice& slice, std::unique_ptr<model::State> state) = 0;

  // How a Fork hands on what it has made, and says now and then that it lives.
  struct Outlet {
    std::function<void(SliceResult result)> post;  // to rank 0; may wait until there is room
    std::function<void()> alive;
  };
  // After every block. Whatever it does here, other ranks may be waiting for this rank's next block.
  virtual void between_blocks(const Outlet& outlet) = 0;
  // While this rank waits, again and again: one step of what there is to do, and whether there was any. What it waits for is
  // looked at only after the step.
  virtual bool while_waiting(const Outlet& outlet) = 0;
  // After the last block of all ranks, on all ranks: everything that is left.
  virtual void finish(transport::Transport& transport, transport::Clock::duration timeout, const Outlet& outlet) = 0;
};

}  // namespace riverrun::ring
