// The cases of all transports where ranks are processes.
#pragma once

#include "transport/transport.h"

namespace riverrun::transport {

// All tests of this program, in each rank; rank 0 prints everything, the others only what failed. `buffers`: short sends are
// through before their receive.
int run_all_tests(Transport& transport, bool buffers);
// The transport that they run on.
Transport& this_rank();

}  // namespace riverrun::transport
