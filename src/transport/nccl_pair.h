// NcclPair: a NCCL communicator of two ranks for the messages from one of them to the other.
//
// Two ranks with messages both ways have two of them. The operations of one communicator happen in one order, the same on both
// sides, and each holds up those behind it until its other half is there: with a communicator for each direction no message
// waits for one of another direction, or of other ranks.
#pragma once

#include <string>

#include "core/types.h"
#include "transport/nccl_library.h"
#include "transport/transport.h"

namespace riverrun::transport {

class NcclPair {
 public:
  enum class Role { sender, receiver };

  // Both ranks with the same id, at about the same time. Begins to connect, on the current device of this thread.
  NcclPair(Role role, int peer, const ncclUniqueId& id, Clock::duration timeout);
  // Not ended here: disconnect() needs the other side, and abort() is for the worst.
  NcclPair(const NcclPair&) = delete;
  NcclPair& operator=(const NcclPair&) = delete;

  // Whether nothing is under way on the host's side: connected, and what start() began is in its stream. Throws what NCCL has
  // found out since, and when it has taken longer than the timeout to connect.
  bool settled();

  // One operation of a group, between ncclGroupStart and ncclGroupEnd. Settled.
  void enqueue(void* data, Index bytes, void* stream);

  // The end, on both sides: begin, then settled(), then destroy.
  void begin_disconnect();
  void destroy();
  ncclComm_t comm() const { return comm_; }

 private:
  std::string describe() const;

  const Role role_;
  const int peer_;
  const Clock::duration timeout_;
  const Clock::time_point begun_ = Clock::now();
  bool connected_ = false;
  ncclComm_t comm_ = nullptr;
};

}  // namespace riverrun::transport
