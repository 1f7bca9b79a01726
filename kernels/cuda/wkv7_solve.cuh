// What the chunked kernels of WKV-7 share: the chunks of a segment, and the inverse of I - L.
#pragma once

#include "kernels/cuda/chunk_state.cuh"

namespace riverrun::kernels::cuda {

// The chunks of a segment, for a head.
struct Chunks {
  Index begin, end, D, column;  // rows of the segment; of the head's first channel
  int count;

  __device__ __forceinline__ Chunks(Index first_row, Index end_row, Index width, Index first_column)
      : begin(first_row),
        end(end_row),
        D(width),
        column(first_column),
        count(static_cast<int>((end_row - first_row + kChunkTokens - 1) / kChunkTokens)) {}
  __device__ __forceinline__ Index place(int chunk) const { return (begin + Index{chunk} * kChunkTokens) * D + column; }
  __device__ __forceinline__ int tokens(int chunk) const {
    const Index left = end - begin - Index{chunk} * kChunkTokens;
    return static_cast<int>(left < kChunkTokens ? left : kChunkTokens);
  }
};

// x = that column of (I - L)^-1, for L strictly below its diagonal, with rows kStride floats apart. By substitution in fp32: powers of L
// would cancel badly.
template <int kStride>
__device__ __forceinline__ void inverse_column(const float (&L)[kChunkTokens][kStride], int column, float (&x)[kChunkTokens]) {
#pragma unroll
  for (int t = 0; t < kChunkTokens; ++t) x[t] = t == column ? 1.0f : 0.0f;
#pragma unroll
  for (int s0 = 0; s0 < kChunkTokens; s0 += 4) {
    float four[kChunkTokens][4];
#pragma unroll
    for (int t = s0 + 1; t < kChunkTokens; ++t) {
      const auto row = *reinterpret_cast<const float4*>(&L[t][s0]);
      four[t][0] = row.x, four[t][1] = row.y, four[t][2] = row.z, four[t][3] = row.w;
    }
#pragma unroll
    for (int s = s0; s < s0 + 4; ++s) {
#pragma unroll
      for (int t = s + 1; t < kChunkTokens; ++t) x[t] = fmaf(four[t][s - s0], x[s], x[t]);
    }
  }
}

}  // namespace riverrun::kernels::cuda
