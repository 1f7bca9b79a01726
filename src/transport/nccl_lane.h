// NcclLane: one direction of one rank: a stream in which one group of messages at a time is under way.
#pragma once

#include <utility>
#include <vector>

#include "core/stream.h"
#include "core/thread_pool.h"
#include "transport/nccl_pair.h"

namespace riverrun::transport {

class NcclLane {
 public:
  // Urgent: other ranks wait for a message, which else would wait for kernels that were launched before it.
  explicit NcclLane(Device& device) : stream_(device, pool_, true) {}

  // Messages, in the same order and of the same lengths as on the other side of the pair; at least one, none empty. The lane is
  // free, the pair settled.
  struct Part {
    Ticket ticket;
    void* data;
    Index bytes;
  };
  void start(NcclPair& pair, std::vector<Part> group);

  bool free() const { return pair_ == nullptr; }
  // The group that has come through since the last call, if one has; empty otherwise. Throws what NCCL or the device has found.
  std::vector<Part> finished();

 private:
  ThreadPool pool_{1};
  OwnStream stream_;
  NcclPair* pair_ = nullptr;  // of the group under way
  std::vector<Part> group_;
};

}  // namespace riverrun::transport
