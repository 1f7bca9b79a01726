// How a kernel that treats columns alike is laid out: a block takes a row, and of it four columns per thread.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

namespace riverrun::kernels::cuda {

__device__ __forceinline__ Index own_column() { return 4 * (Index{blockIdx.y} * blockDim.x + threadIdx.x); }

// Of threads_for(D) each.
inline dim3 blocks_of_columns(Index M, Index D) {
  return dim3(static_cast<unsigned>(M), blocks_for(D, 4 * Index{threads_for(D)}));
}

}  // namespace riverrun::kernels::cuda
