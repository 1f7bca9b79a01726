// The CUDA backend on the CPU, as one more table for tests.
#pragma once

#include "kernels/table.h"

namespace riverrun::cuda_emulator {

// "cuda_emulated": kernels/cuda with memory of the host and streams of the CPU.
const kernels::KernelTable& table();

}  // namespace riverrun::cuda_emulator
