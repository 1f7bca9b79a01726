// What the sources of kernels/cuda use of CUDA's header of this name, on the emulator. A launch is over when
// it returns, unless its stream records it.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>

#include "emulator.h"
#include "rehearsal.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

using cudaStream_t = riverrun::cuda_emulator::EmulatedStream*;
enum cudaError_t { cudaSuccess };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension, cudaLaunchAttributeProgrammaticStreamSerialization };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    dim3 clusterDim;
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;

  unsigned cluster() const {
    return numAttrs > 0 && attrs[0].id == cudaLaunchAttributeClusterDimension ? attrs[0].val.clusterDim.x : 1;
  }
};

enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin, cudaDevAttrMultiProcessorCount };
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const auto& gpu = riverrun::cuda_emulator::present_gpu();
  *value = attribute == cudaDevAttrMultiProcessorCount ? gpu.multiprocessors : static_cast<int>(gpu.most_shared);
  return cudaSuccess;
}
struct cudaFuncAttributes {
  int ptxVersion;
};
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  attributes->ptxVersion = 10 * riverrun::cuda_emulator::present_gpu().capability;
  return cudaSuccess;
}

inline const char* cudaGetErrorString(cudaError_t) { return "no error"; }
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int bytes) {
  riverrun::cuda_emulator::allow_shared(reinterpret_cast<const void*>(kernel), static_cast<std::size_t>(bytes));
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveClusters(int* count, Kernel*, const cudaLaunchConfig_t* config) {
  *count = riverrun::cuda_emulator::present_gpu().multiprocessors / static_cast<int>(config->cluster());
  return cudaSuccess;
}
template <class... Params, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Args&&... args) {
  struct Job {
    void (*kernel)(Params...);
    std::tuple<std::decay_t<Params>...> args;
  };
  const Job job = {kernel, {std::forward<Args>(args)...}};
  static_assert(sizeof job.args <= 4096, "CUDA takes 4 KiB of parameters");
  const auto body = [](const void* at) {
    const auto& of = *static_cast<const Job*>(at);
    std::apply(of.kernel, of.args);
    riverrun::cuda_emulator::check_waited_for_previous();
  };
  const unsigned cluster = config->cluster();
  const auto start = [body, cluster, config = *config](const Job& at) {
    if (riverrun::cuda_emulator::wants_rehearsal(reinterpret_cast<const void*>(at.kernel), config.gridDim, config.blockDim)) {
      Job spoilt = at;
      riverrun::cuda_emulator::rehearse(config.gridDim, config.blockDim, body, &spoilt, &spoilt.args, sizeof spoilt.args);
    }
    riverrun::cuda_emulator::run(config.gridDim, config.blockDim, config.dynamicSmemBytes, body, &at,
                                 reinterpret_cast<const void*>(at.kernel), cluster);
  };
  if (config->stream != nullptr && config->stream->recording) {
    config->stream->launches.push_back([start, job] { start(job); });
  } else {
    start(job);
  }
  return cudaSuccess;
}

// Functions that CUDA does not round to nearest: off by as many units in the last place as its documentation allows (C++ Programming
// Guide, mathematical functions), one way or the other as the argument's bits have it. Exact results are right, as they are there.
inline float emulated_within(double result, float argument, int ulps) {
  float nearest = static_cast<float>(result);
  if (static_cast<double>(nearest) == result || !std::isfinite(nearest)) return nearest;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(argument) * 2654435761u;
  for (int i = 0; i < ulps; ++i) nearest = bits >> 31 ? std::nextafter(nearest, HUGE_VALF) : std::nextafter(nearest, -HUGE_VALF);
  return nearest;
}
inline float emulated_expf(float x) {
  const float result = emulated_within(std::exp(double{x}), x, 1);
  return result < 0 ? 0.0f : x < 0 && result > 1 ? 1.0f : result;
}
inline float emulated_logf(float x) { return emulated_within(std::log(double{x}), x, 1); }
inline float emulated_tanhf(float x) {
  const float result = emulated_within(std::tanh(double{x}), x, 2);
  return std::fabs(result) > 1 ? std::copysign(1.0f, result) : result;
}
inline float emulated_reciprocal(float x) { return emulated_within(1 / double{x}, x, 1); }
#define expf emulated_expf
#define logf emulated_logf
#define tanhf emulated_tanhf

inline void __syncthreads() { riverrun::cuda_emulator::block_barrier(); }
inline void __syncwarp() {
  const char nothing = 0;
  riverrun::cuda_emulator::exchange(&nothing, 1);
}

template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  const std::byte* all = riverrun::cuda_emulator::exchange(&value, sizeof(T));
  std::memcpy(&value, all + static_cast<std::size_t>(lane) * riverrun::cuda_emulator::kExchangeBytes,
              sizeof(T));
  return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % 32) ^ lanes);
}
