// The GPU of this process, as a Device.
#pragma once

#include "core/device.h"

namespace riverrun::kernels::cuda {

// One per process: of several GPUs that it sees, the one of its rank on the node. Without a GPU everything but require() and
// kind() throws.
Device& gpu();

// Returns to CUDA what was freed and is kept for who asks gpu() next, for memory that is asked of CUDA itself.
void give_back_freed();

}  // namespace riverrun::kernels::cuda
