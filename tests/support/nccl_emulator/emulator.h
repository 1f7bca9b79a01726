// NCCL between processes of one machine without a GPU, for tests of src/transport/nccl*: bytes travel through sockets, moved
// by a thread per stream and in its order.
//
// It has NCCL's manners where they matter: communicators connect after the call has returned, and a group is put into its stream
// after ncclGroupEnd has; a send is not done before its receive runs, and holds up its stream until then; ends are agreed on by
// both sides. It is stricter: whoever blocks, names memory that the GPU did not allocate, uses a communicator before it is settled, puts a second group into a stream, or
// has other lengths on both sides gets an error. What it cannot show is whether a GPU has room for what is to run at once.
#pragma once

#include <string>

#include "core/device.h"

namespace riverrun::nccl_emulator {

// The GPU of this process: memory of the host, streams for NCCL.
Device& gpu();
// Which GPU it is; without a call another one in each process.
void set_bus_id(const std::string& id);
// The communicator of the so-manieth group from now on reports an error instead of starting it.
void fail_after(int groups);
// How long it takes to abort a communicator, which the other side sees at once.
void set_abort_time(int milliseconds);
// What this process has not destroyed.
int open_communicators();

}  // namespace riverrun::nccl_emulator
