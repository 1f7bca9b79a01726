// LayerNorm of a row in shared memory by a block; what the kernels of norm.cu and shift_mix.cu have in
// common.
#pragma once

#include "kernels/cuda/device.cuh"

namespace riverrun::kernels::cuda {

// A row takes up whole fours, the last one filled up with zeros.
constexpr Index padded_width(Index D) { return (D + 3) / 4 * 4; }

// f(first column) for every four columns of a row that are this thread's own. Nobody else touches them in
// shared memory, so that only sums need barriers.
template <class Function>
__device__ __forceinline__ void own_fours(Index D, Function&& f) {
  for (Index at = 4 * Index{threadIdx.x}; at < D; at += 4 * Index{blockDim.x}) f(at);
}

__device__ __forceinline__ float4& four_at(float* row, Index at) {
  return *reinterpret_cast<float4*>(row + at);
}

template <bool kWhole, class T>
__device__ __forceinline__ void load_row(const T* from, Index D, float* row) {
  own_fours(D, [&](Index at) { four_at(row, at) = load_four<kWhole>(from, at, D); });
}

// row = LN(row), by all threads of the block.
template <bool kWhole>
__device__ __forceinline__ void normalize(float* row, Index D, const float* weight, const float* bias,
                                          float eps, BlockSum& sums) {
  float sum = 0;
  own_fours(D, [&](Index at) { sum += sum_of_four(four_at(row, at)); });
  const float mean = sum_over_block(sum, sums) / static_cast<float>(D);
  float squares = 0;
  own_fours(D, [&](Index at) {
    float4 away = four_at(row, at) - all_four(mean);
    if constexpr (!kWhole) {  // columns that are not there
      if (at + 1 >= D) away.y = 0;
      if (at + 2 >= D) away.z = 0;
      if (at + 3 >= D) away.w = 0;
    }
    squares += sum_of_four(away * away);
  });
  const float scale = 1.0f / sqrtf(sum_over_block(squares, sums) / static_cast<float>(D) + eps);
  own_fours(D, [&](Index at) {
    const float4 normal = (four_at(row, at) - all_four(mean)) * all_four(scale);
    four_at(row, at) = fma_four(normal, load_four<kWhole>(weight, at, D), load_four<kWhole>(bias, at, D));
  });
}

}  // namespace riverrun::kernels::cuda
