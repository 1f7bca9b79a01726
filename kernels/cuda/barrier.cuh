// Barriers of some of a block's warps, by number: 1 to 15, 0 being that of __syncthreads(). One is complete
// when `threads` threads have arrived, those that wait and those that go on, whole warps; what they did
// before is then seen by those that waited, and the number may be used again.
#pragma once

#include "kernels/cuda/device.cuh"

namespace riverrun::kernels::cuda {

__device__ __forceinline__ void wait_at_barrier(int number, int threads) {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::barrier(static_cast<unsigned>(number), static_cast<unsigned>(threads), true);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
#endif
}

__device__ __forceinline__ void arrive_at_barrier(int number, int threads) {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::barrier(static_cast<unsigned>(number), static_cast<unsigned>(threads), false);
#else
  asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
#endif
}

}  // namespace riverrun::kernels::cuda
