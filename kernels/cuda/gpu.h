// The GPU of this process, as a Device.
#pragma once

#include "core/device.h"

namespace riverrun::kernels::cuda {

// One per process: of several GPUs that it sees, the one of its rank on the node. Without a GPU everything but require() and
// kind() throws.
Device& gpu();

}  // namespace riverrun::kernels::cuda
