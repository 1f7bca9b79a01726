// How kernels are launched. With tests/support/cuda_emulator/cuda_runtime.h in place of CUDA's, the same
// lines run them on the CPU.
#pragma once

#include <cuda_runtime.h>

#include "core/error.h"
#include "core/stream.h"
#include "core/types.h"

namespace riverrun::kernels::cuda {

inline cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream.order); }

inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw Error(concat("CUDA: ", what, ": ", cudaGetErrorString(error)));
}

// Shared memory that every GPU gives a block without being asked; more has to be allowed for the kernel
// first. It is 48 KiB with the objects that a kernel declares, which take less than the rest.
inline constexpr Index kSharedForAll = 47 * 1024;

// What a block of this thread's GPU may have of it, allowed for the kernel.
inline Index most_shared_bytes() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "the present GPU");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "the GPU's shared memory");
  return bytes;
}

// The kernel that this thread launched last, or null: what a wait without an end is most likely for.
inline const void*& last_launched() {
  static thread_local const void* kernel = nullptr;
  return kernel;
}

// blocks.x may be any number; y and z at most 65,535. Does nothing when there are no blocks.
template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 blocks, unsigned threads, Index shared_bytes, Stream stream,
            const Args&... args) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
  if (shared_bytes > kSharedForAll) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "more shared memory for a block than this GPU has");
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks, config.blockDim = dim3(threads);
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes), config.stream = native(stream);
  last_launched() = reinterpret_cast<const void*>(kernel);
  check(cudaLaunchKernelEx(&config, kernel, args...), "launch of a kernel");
}

constexpr unsigned blocks_for(Index items, Index per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace riverrun::kernels::cuda
