// One chunk of WKV-7 (docs/wkv.md, "The chunked form"): what is in shared memory, and how it gets there.
//
// A block has a head and 16 value rows per warp. Everything in fp32; products on the tensor cores in three
// parts (split_tf32.cuh).
#pragma once

#include "kernels/cuda/chunk_state.cuh"
#include "kernels/cuda/copy_async.cuh"
#include "kernels/cuda/split_tf32.cuh"
#include "kernels/cuda/wkv7_chunk.h"

namespace riverrun::kernels::cuda {

inline constexpr int kC = kChunkTokens;
enum Operand { kR, kW, kK, kA, kB, kOperands };
enum Gram { kL, kMak, kMrb, kMrk, kGrams };

template <int N>
struct Wkv7Chunk {
  static constexpr int kWarps = N / 16, kThreads = kWarps * kWarp;
  // Distances of rows, so that the lanes of a fragment meet different banks: read two neighbours at a time
  // along a row, or along a column.
  static constexpr int kAlongRows = N + 8, kAlongColumns = N + 4, kGramRow = kC + 8;

  struct Incoming {
    float operands[kOperands][kC][N];
    float v[kC][kAlongColumns];
  } incoming[2];                                             // this chunk and the next
  float a_ref[kC][kAlongRows], r_ref[kC][kAlongRows];        // a p_{t-1} / c,  r p_t / c
  float b_ref[kC][kAlongRows], k_ref[kC][kAlongRows];        // b c / p_t,  k c / p_t
  float a_in[kC][kAlongRows], r_in[kC][kAlongRows];          // a p_{t-1},  r p_t
  float b_out[kC][kAlongColumns], k_out[kC][kAlongColumns];  // b p_C / p_t,  k p_C / p_t
  float decay[N];                                            // p_C
  float grams[kGrams][kC][kGramRow];
  float inverse[kC][kGramRow];  // (I - L)^-1

  // Starts to fetch the chunk that begins with row `first`, of the head whose first channel is `head_column`.
  // Rows that are not there neither decay nor write.
  __device__ __forceinline__ static void fetch(Incoming& to, const float* const (&from)[kOperands],
                                               const float* v, Index head_column, Index first, int tokens,
                                               Index D) {
    constexpr int kFours = N / 4;
    for (int at = static_cast<int>(threadIdx.x); at < (kOperands + 1) * kC * kFours; at += kThreads) {
      const int column = at % kFours * 4, t = at / kFours % kC, operand = at / (kFours * kC);
      float* const there = operand == kOperands ? &to.v[t][column] : &to.operands[operand][t][column];
      const float* const source = operand == kOperands ? v : from[operand];
      if (t < tokens) {
        copy_16_async(there, source + (first + t) * D + head_column + column);
      } else {
        *reinterpret_cast<float4*>(there) = all_four(operand == kW ? 1.0f : 0.0f);
      }
    }
    commit_copies();
  }

  // Sums of logarithms, not products of w: in long memory the rounding of a running product is what is seen.
  __device__ __forceinline__ void scale(const Incoming& from) {
    constexpr int kParts = 2, kTokens = kC / kParts;
    for (int item = static_cast<int>(threadIdx.x); item < N * kParts; item += kThreads) {
      const int n = item % N, part = item / N;
      float log_p[kC + 1];
      log_p[0] = 0;
#pragma unroll
      for (int t = 0; t < kC; ++t) log_p[t + 1] = log_p[t] + logf(from.operands[kW][t][n]);
      const float middle = log_p[kC / 2], last = log_p[kC];
#pragma unroll
      for (int t = 0; t < kC; ++t) {
        if (t / kTokens != part) continue;
        const float before = log_p[t], now = log_p[t + 1], up = expf(middle - now), out = expf(last - now);
        const float a = from.operands[kA][t][n], r = from.operands[kR][t][n], b = from.operands[kB][t][n],
                    k = from.operands[kK][t][n];
        a_ref[t][n] = a * expf(before - middle), r_ref[t][n] = r * expf(now - middle);
        b_ref[t][n] = b * up, k_ref[t][n] = k * up;
        a_in[t][n] = a * expf(before), r_in[t][n] = r * expf(now);
        b_out[t][n] = b * out, k_out[t][n] = k * out;
      }
      if (part == 0) decay[n] = expf(last);
    }
  }

  // The lower parts of the products of rows, with the diagonal for r. Eight tiles of 16 x 8, dealt to the
  // warps.
  __device__ __forceinline__ void multiply_rows() {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, group = lane / 4, pair = lane % 4;
    for (int tile = warp; tile < 2 * kGrams; tile += kWarps) {
      const int gram = tile / 2, s0 = tile % 2 * 8;
      const bool of_r = gram == kMrb || gram == kMrk, of_b = gram == kL || gram == kMrb;
      const float *left = of_r ? r_ref[0] : a_ref[0], *right = of_b ? b_ref[0] : k_ref[0];
      float d[4] = {};
#pragma unroll
      for (int n = 0; n < N; n += 8) {
        multiply_split(d, left_rows(left, kAlongRows, n), right_rows(right, kAlongRows, s0, n));
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int t = group + i / 2 * 8, s = s0 + 2 * pair + i % 2;
        grams[gram][t][s] = s < t + (of_r ? 1 : 0) ? d[i] : 0.0f;  // chosen, not multiplied by 0
      }
    }
  }

  // (I - L)^-1 by substitution in fp32, a lane per column: powers of L would cancel badly. One warp.
  __device__ __forceinline__ void invert() {
    const int column = threadIdx.x % kWarp;
    if (column >= kC) return;
    float x[kC];
#pragma unroll
    for (int t = 0; t < kC; ++t) x[t] = t == column ? 1.0f : 0.0f;
#pragma unroll
    for (int s = 0; s < kC; ++s) {
      inverse[s][column] = x[s];
#pragma unroll
      for (int t = s + 1; t < kC; ++t) x[t] = fmaf(grams[kL][t][s], x[s], x[t]);
    }
  }
};

}  // namespace riverrun::kernels::cuda
