// Copies from global to shared memory that go on while the thread computes.
#pragma once

#include "kernels/cuda/device.cuh"

namespace riverrun::kernels::cuda {

// 16 bytes, both ends aligned to them.
__device__ __forceinline__ void copy_16_async(void* shared, const void* global) {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::copy_async(shared, global, 16);
#else
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
#endif
}

// Ends the group of copies that this thread has started.
__device__ __forceinline__ void commit_copies() {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::commit_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until all but this thread's last kGroups groups have arrived. Others see them after a barrier.
template <int kGroups>
__device__ __forceinline__ void wait_for_copies() {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::wait_copies(kGroups);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
#endif
}

}  // namespace riverrun::kernels::cuda
