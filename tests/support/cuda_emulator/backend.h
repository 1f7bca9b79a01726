// The CUDA backend on the CPU, as one more table for tests.
#pragma once

#include "kernels/table.h"

namespace riverrun::cuda_emulator {

// "cuda_emulated": kernels/cuda on the device of device.h; on streams without an order, too.
const kernels::KernelTable& table();

}  // namespace riverrun::cuda_emulator
