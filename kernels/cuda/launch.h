// How kernels are launched. With tests/support/cuda_emulator/cuda_runtime.h in place of CUDA's, the same
// lines run them on the CPU.
#pragma once

#include <cuda_runtime.h>

#include "core/error.h"
#include "core/stream.h"
#include "core/types.h"
#include "kernels/cuda/switches.h"

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

// Whether a kernel is started while the one before it still runs, and waits for its end by itself (wait_for_previous()): what it needs
// to begin with, and the first of its weights, is then there already. GPUs from 9.0 on do that, with code that is made for them; all
// kernels are.
template <class... Params>
bool starts_early(void (*kernel)(Params...)) {
  static const bool kEarly = is_on(kOverlapSwitch) && compiled_for(kernel) >= 90;
  return kEarly;
}

// Allows the kernel so much shared memory for a block.
template <class... Params>
void allow_shared_bytes(void (*kernel)(Params...), Index shared_bytes) {
  if (shared_bytes <= kSharedForAll) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
        "more shared memory for a block than this GPU has");
}

// A launch of clusters of `size` blocks; 1: of blocks by themselves.
struct Launch {
  Launch(unsigned size, dim3 blocks, unsigned threads, Index shared_bytes, Stream stream, bool early) {
    config.gridDim = blocks, config.blockDim = dim3(threads);
    config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes), config.stream = native(stream);
    config.attrs = attributes;
    if (size > 1) {
      cudaLaunchAttribute& of = attributes[config.numAttrs++];
      of.id = cudaLaunchAttributeClusterDimension;
      of.val.clusterDim.x = size, of.val.clusterDim.y = of.val.clusterDim.z = 1;
    }
    if (early) {
      cudaLaunchAttribute& of = attributes[config.numAttrs++];
      of.id = cudaLaunchAttributeProgrammaticStreamSerialization, of.val.programmaticStreamSerializationAllowed = 1;
    }
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config = {};
};

// How many clusters the GPU runs at the same time.
template <class... Params>
Index most_clusters(unsigned size, void (*kernel)(Params...), unsigned threads, Index shared_bytes) {
  allow_shared_bytes(kernel, shared_bytes);
  const Launch launch(size, dim3(size), threads, shared_bytes, Stream(), false);
  int count = 0;
  check(cudaOccupancyMaxActiveClusters(&count, kernel, &launch.config), "the number of clusters");
  return count;
}

// blocks.x may be any number, of clusters whole ones; y and z at most 65,535. Does nothing when there are no blocks.
template <class... Params, class... Args>
void launch_clusters(unsigned size, void (*kernel)(Params...), dim3 blocks, unsigned threads, Index shared_bytes, Stream stream,
                     const Args&... args) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
  allow_shared_bytes(kernel, shared_bytes);
  const Launch launch(size, blocks, threads, shared_bytes, stream, starts_early(kernel));
  last_launched() = reinterpret_cast<const void*>(kernel);
  check(cudaLaunchKernelEx(&launch.config, kernel, args...), "launch of a kernel");
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
