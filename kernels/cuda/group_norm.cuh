// A row's head per warp: which one, and the group norm over it.
#pragma once

#include "kernels/cuda/device.cuh"

namespace riverrun::kernels::cuda {

inline constexpr unsigned kGroupThreads = 128;
inline constexpr Index kHeadsOfBlock = kGroupThreads / kWarp;

// Of M * H; the last block may go beyond.
__device__ __forceinline__ Index own_head() { return blockIdx.x * kHeadsOfBlock + threadIdx.x / kWarp; }

struct GroupNorm {
  float mean, scale;
};

// Over y[0..N), by the warp.
__device__ __forceinline__ GroupNorm group_norm(const float* y, Index N, float eps) {
  float sum = 0, squares = 0;
  for (Index n = threadIdx.x % kWarp; n < N; n += kWarp) sum += y[n];
  const float mean = sum_over_lanes(sum) / static_cast<float>(N);
  for (Index n = threadIdx.x % kWarp; n < N; n += kWarp) {
    const float away = y[n] - mean;
    squares = fmaf(away, away, squares);
  }
  return {mean, 1.0f / sqrtf(sum_over_lanes(squares) / static_cast<float>(N) + eps)};
}

}  // namespace riverrun::kernels::cuda
