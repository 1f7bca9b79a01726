// A chunk of WKV-6 in shared memory: what is fetched of its tokens, and what is made of them without the state.
//
// w has no lower bound and may be 0, so that decays are products of factors over the tokens that they span, and the weights within a chunk
// are no matrix product.
#pragma once

#include "kernels/cuda/chunk_state.cuh"
#include "kernels/cuda/copy_async.cuh"

namespace riverrun::kernels::cuda {

namespace wkv6 {

constexpr int kC = kChunkTokens;
enum Operand { kR, kW, kK, kOperands };

struct ChunkParameters {
  Index D, first_head;
  const float* operands[kOperands];
  Index strides[kOperands];
  const float *v, *u;
  float* y;
};

// Which of a chunk's parts a kernel needs: those that the state goes on with, or all.
enum class Part { state, all };

template <int N, Tf32 kind>
struct Chunk {
  static constexpr int kWarps = N / 16, kThreads = kWarps * kWarp;
  static constexpr int kRow = N + kPadding, kWeightsRow = kC + 8;

  struct Incoming {
    float operands[kOperands][kC][kRow];
    float v[kC][kRow];             // rows at place_of(t)
  } incoming[2];                   // this chunk and the next
  float r_in[kC][kRow];            // r_t w_0 ... w_{t-1}
  float k_out[kC][kRow];           // k_t w_{t+1} ... w_{C-1}, rows at place_of(t)
  float decay[N];                  // w_0 ... w_{C-1}
  float group_decay[N];            // of all chunks of a group, when its last one has been scaled
  float weights[kC][kWeightsRow];  // [t][s]: sum_n r_t k_s w_{s+1} ... w_{t-1}; diagonal: sum_n r_t u k_t

  // Starts to fetch the chunk that begins with row `first`, of the head whose first channel is `head_column`.
  // Rows that are not there neither decay nor write.
  template <Part part>
  __device__ __forceinline__ static void fetch(Incoming& to, const ChunkParameters& args, Index head_column,
                                               Index first, int tokens) {
    constexpr int kFours = N / 4, kFrom = part == Part::all ? 0 : kR + 1;
    for (int at = static_cast<int>(threadIdx.x); at < (kOperands + 1 - kFrom) * kC * kFours; at += kThreads) {
      const int column = at % kFours * 4, t = at / kFours % kC, operand = kFrom + at / (kFours * kC);
      const bool is_v = operand == kOperands;
      float* const there = is_v ? &to.v[place_of(t)][column] : &to.operands[operand][t][column];
      const float* const source = is_v ? args.v : args.operands[operand];
      if (t < tokens) {
        copy_16_async(there,
                      source + (first + t) * (is_v ? args.D : args.strides[operand]) + head_column + column);
      } else {
        *reinterpret_cast<float4*>(there) = all_four(operand == kW ? 1.0f : 0.0f);
      }
    }
    commit_copies();
  }

  // Half of the threads go forward through the tokens, half backward, each with a channel of its own, and of the latter each with the
  // decay of its group so far.
  template <Part part>
  __device__ __forceinline__ void scale(const Incoming& from, bool ends_group, LongProduct& group) {
    const int n = static_cast<int>(threadIdx.x) % N;
    LongProduct product;
    if (threadIdx.x < N) {
      if constexpr (part == Part::all) {
#pragma unroll
        for (int t = 0; t < kC; ++t) {
          r_in[t][n] = as_kept<kind>(from.operands[kR][t][n] * product.value());
          product.multiply(from.operands[kW][t][n]);
        }
      }
    } else {
#pragma unroll
      for (int t = kC - 1; t >= 0; --t) {
        k_out[place_of(t)][n] = as_kept<kind>(from.operands[kK][t][n] * product.value());
        product.multiply(from.operands[kW][t][n]);
      }
      decay[n] = product.value();
      group.multiply(product);
      if (ends_group) group_decay[n] = group.value(), group = {};
    }
  }

  // A few lanes have a token t and go back from it, each with the decays of its channels. All warps keep
  // step.
  __device__ __forceinline__ void weigh(const Incoming& from, const float* bonus) {
    constexpr int kLanes = kThreads / kC, kChannels = N / kLanes;
    const int t = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes;
    float r[kChannels], between[kChannels], sum = 0;
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
      const int n = lane + kLanes * i;
      r[i] = from.operands[kR][t][n], between[i] = 1;
      sum = fmaf(r[i] * bonus[n], from.operands[kK][t][n], sum);
    }
    sum = sum_over_lanes<kLanes>(sum);
    if (lane == 0) weights[t][t] = as_kept<kind>(sum);
    for (int s = t + 1 + lane; s < kC; s += kLanes) weights[t][s] = 0;
    for (int back = 1; back < kC; ++back) {
      const int s = t - back;
      sum = 0;
#pragma unroll
      for (int i = 0; i < kChannels; ++i) {
        if (s < 0) break;
        const int n = lane + kLanes * i;
        sum = fmaf(r[i] * between[i], from.operands[kK][s][n], sum);
        between[i] *= from.operands[kW][s][n];
      }
      sum = sum_over_lanes<kLanes>(sum);
      if (lane == 0 && s >= 0) weights[t][s] = as_kept<kind>(sum);
    }
  }
};

}  // namespace wkv6

}  // namespace riverrun::kernels::cuda
