// The state of a head from chunk to chunk, in registers; and the decays of a chunk.
//
// A warp holds 16 value rows as the result of tensor-core products, values by keys. In a product with what it
// holds the state is then the left operand where it is, and u and y come out transposed, values by tokens.
#pragma once

#include "kernels/cuda/tf32.cuh"

namespace riverrun::kernels::cuda {

inline constexpr int kChunkTokens = 16;

// A product of factors, kept to twice fp32's digits: its rounding would be the same in every chunk of a
// constant w, and add up in long memory.
struct LongProduct {
  float high = 1, low = 0;
  __device__ __forceinline__ float value() const { return high + low; }
  __device__ __forceinline__ void multiply(float factor) {
    const float product = high * factor;
    low = fmaf(low, factor, fmaf(high, factor, -product));
    high = product;
  }
  __device__ __forceinline__ void multiply(const LongProduct& factor) {
    const float product = high * factor.high;
    low = fmaf(low, factor.high, fmaf(high, factor.low, fmaf(high, factor.high, -product)));
    high = product;
  }
};

// [16 values, 16 tokens] as two tiles of 8 tokens.
struct ValuesByTokens {
  float tile[2][4] = {};

  // += left^T weights^T: `left` [16 tokens s, 16 values] by its halves, `weights` [t][s], kept.
  template <Tf32 kind>
  __device__ __forceinline__ void add(const Left<kind> (&left)[2], const float* weights, int stride) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        multiply(tile[i], left[half], right_rows<kind>(weights, stride, 8 * i, 8 * half));
    }
  }

  // += S rows^T over keys [8 j, 8 j + 8): `rows` [token][key], kept.
  template <Tf32 kind>
  __device__ __forceinline__ void add_keys(const Left<kind>& state, const float* rows, int stride, int j) {
#pragma unroll
    for (int i = 0; i < 2; ++i) multiply(tile[i], state, right_rows<kind>(rows, stride, 8 * i, 8 * j));
  }

  // `y`: the first token's row at the warp's first value row; D from a token to the next.
  __device__ __forceinline__ void write(float* y, Index D, int tokens) const {
    const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const int t = 8 * i + 2 * pair + c % 2, row = group + c / 2 * 8;
        if (t < tokens) y[t * D + row] = tile[i][c];
      }
    }
  }
};

// 16 value rows of N keys.
template <int N>
struct StateRows {
  float tile[N / 8][4];

  // `rows`: the first of the warp's value rows, or null; `stride` from one to the next.
  __device__ __forceinline__ void load(const float* rows, Index stride = N) {
    for_each_pair([&](int row, int key, float& first, float& second) {
      const float2 two =
          rows == nullptr ? float2{0, 0} : *reinterpret_cast<const float2*>(rows + row * stride + key);
      first = two.x, second = two.y;
    });
  }
  __device__ __forceinline__ void store(float* rows, Index stride = N) {
    for_each_pair([&](int row, int key, float& first, float& second) {
      *reinterpret_cast<float2*>(rows + row * stride + key) = {first, second};
    });
  }

  // f(j, keys [8 j, 8 j + 8) of S diag(scale) as a left operand)
  template <Tf32 kind, class Function>
  __device__ __forceinline__ void for_each_left(const float* scale, Function&& f) const {
    const int pair = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < N / 8; ++j) {
      const auto by = *reinterpret_cast<const float2*>(scale + 8 * j + 2 * pair);
      f(j, left_of<kind>({tile[j][0] * by.x, tile[j][1] * by.y, tile[j][2] * by.x, tile[j][3] * by.y}));
    }
  }
  // The same of S.
  template <Tf32 kind, class Function>
  __device__ __forceinline__ void for_each_left(Function&& f) const {
#pragma unroll
    for (int j = 0; j < N / 8; ++j) f(j, left_of<kind>(tile[j]));
  }

  // S' = S diag(decay) + what add(j, sums) adds to the sums of tile j, and so every other one given. They are summed by themselves:
  // the tensor cores may round sums towards zero, which in a state of long memory would be a decay of its own.
  template <class Function, class... Others>
  __device__ __forceinline__ void update(const float* decay, Function&& add, Others&... others) {
    const int pair = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < N / 8; ++j) {
      float added[4] = {};
      add(j, added);
      const auto by = *reinterpret_cast<const float2*>(decay + 8 * j + 2 * pair);
      add_to(j, by, added, {1, 1});
      (others.add_to(j, by, added, {1, 1}), ...);
    }
  }
  // S' = S diag(decay) + added
  __device__ __forceinline__ void join(const float* decay, const StateRows& added) {
    const int pair = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < N / 8; ++j) add_to(j, *reinterpret_cast<const float2*>(decay + 8 * j + 2 * pair), added.tile[j], {1, 1});
  }
  // The same for tile j: this thread's two keys decay and what is added to them is scaled.
  __device__ __forceinline__ void add_to(int j, float2 decay, const float (&added)[4], float2 scale) {
    tile[j][0] = fmaf(tile[j][0], decay.x, added[0] * scale.x), tile[j][1] = fmaf(tile[j][1], decay.y, added[1] * scale.y);
    tile[j][2] = fmaf(tile[j][2], decay.x, added[2] * scale.x), tile[j][3] = fmaf(tile[j][3], decay.y, added[3] * scale.y);
  }

 private:
  template <class Function>
  __device__ __forceinline__ void for_each_pair(Function&& f) {
    const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
#pragma unroll
    for (int j = 0; j < N / 8; ++j) {
      f(group, 8 * j + 2 * pair, tile[j][0], tile[j][1]);
      f(group + 8, 8 * j + 2 * pair, tile[j][2], tile[j][3]);
    }
  }
};

}  // namespace riverrun::kernels::cuda
