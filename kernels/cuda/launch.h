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

// Of this thread's GPU.
inline Index gpu_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "the present GPU");
  check(cudaDeviceGetAttribute(&value, attribute, device), "an attribute of the GPU");
  return value;
}
// What a block may have of it, allowed for the kernel.
inline Index most_shared_bytes() { return gpu_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin); }
inline Index multiprocessors() { return gpu_attribute(cudaDevAttrMultiProcessorCount); }

// The compute capability, 90 for 9.0, that the compiler had when it made what this GPU would run of a kernel.
template <class... Params>
Index compiled_for(void (*kernel)(Params...)) {
  cudaFuncAttributes attributes = {};
  check(cudaFuncGetAttributes(&attributes, kernel), "looking at a kernel");
  return attributes.ptxVersion;
}

// The kernel that this thread launched last, or null: what a wait without an end is most likely for.
inline const void*& last_launched() {
  static thread_local const void* kernel = nullptr;
  return kernel;
}

// blocks.x may be any number, of clusters whole ones; y and z at most 65,535. Does nothing when there are no blocks.
template <class... Params, class... Args>
void launch_clusters(unsigned size, void (*kernel)(Params...), dim3 blocks, unsigned threads, Index shared_bytes, Stream stream,
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
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension, attribute.val.clusterDim = {size, 1, 1};
  if (size > 1) config.attrs = &attribute, config.numAttrs = 1;
  last_launched() = reinterpret_cast<const void*>(kernel);
  check(cudaLaunchKernelEx(&config, kernel, args...), "launch of a kernel");
}

// Blocks by themselves.
template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 blocks, unsigned threads, Index shared_bytes, Stream stream, const Args&... args) {
  launch_clusters(1, kernel, blocks, threads, shared_bytes, stream, args...);
}

constexpr unsigned blocks_for(Index items, Index per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace riverrun::kernels::cuda
