// Whether NCCL can connect the ranks.
#pragma once

#include <string>

#include "core/device.h"
#include "transport/transport.h"

namespace riverrun::transport {

// What keeps NCCL from it, the same words on all ranks; empty: nothing. All ranks call it.
std::string find_nccl_obstacle(Transport& transport, Device& device, Clock::duration timeout);

}  // namespace riverrun::transport
