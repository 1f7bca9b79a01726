// The CUDA backend on this process's GPU.
#pragma once

#include "kernels/table.h"

namespace riverrun::kernels::cuda {

// There without a GPU, too; Device::require() says whether it can be used.
const KernelTable& backend();

}  // namespace riverrun::kernels::cuda
