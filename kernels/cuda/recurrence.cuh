// A recurrence token by token, what WKV-6 and WKV-7 have in common: for one token of decoding, and for what
// is shorter than a chunk.
//
// Four lanes share a value row of the state, which they hold in registers; each has every fourth group of
// four keys. A block has 32 value rows of a head, so that heads and value rows fill the GPU where sequences
// are few. Value rows never meet, and each goes through the same operations wherever it is cut.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/segments.h"

namespace riverrun::kernels::cuda {

inline constexpr int kLanesOfRow = 4;
inline constexpr int kRowsOfBlock = 32;
inline constexpr int kRecurrenceThreads = kLanesOfRow * kRowsOfBlock;
inline constexpr int kTokensOfTile = 8;
inline constexpr Index kMostHeadSize = 128;

struct RecurrenceParameters {
  Index D, N, first_head, slices;  // slices of kRowsOfBlock value rows to a head
  const float* v;
  float* y;
};

// Sum of f(i) over the lane's fours of keys, then over the row's lanes: the same bits in all four.
template <int kFours, class Function>
__device__ __forceinline__ float sum_over_keys(Function&& f) {
  float4 sum = all_four(0);
#pragma unroll
  for (int i = 0; i < kFours; ++i) f(i, sum);
  return sum_over_lanes<kLanesOfRow>(sum_of_four(sum));
}

// A Rule names the operands that run over keys, and does a token with them:
//
//   static constexpr int kOperands;
//   const float* operands[kOperands];  Index strides[kOperands];   from a token's row to the next
//   template <int kFours> static float step(float4 (&S)[kFours], const float4* const (&token)[kOperands],
//   float v);
//
// `token[o][4 i]` is the lane's four number i of operand o. step() returns y of the row in all of its lanes.
template <class Rule, int kFours, bool kWhole>
__global__ void __launch_bounds__(kRecurrenceThreads)
    recurrence_kernel(const __grid_constant__ RecurrenceParameters args, const __grid_constant__ Rule rule,
                      const __grid_constant__ SegmentTable segments) {
  wait_for_previous();
  constexpr int kKeys = 4 * kLanesOfRow * kFours;
  struct Tile {
    float operands[kTokensOfTile][Rule::kOperands][kKeys];
    float values[kTokensOfTile][kRowsOfBlock];
  };
  Tile& tile = block_shared<Tile>();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Index N = args.N, head = blockIdx.x / args.slices, row0 = blockIdx.x % args.slices * kRowsOfBlock;
  const Index column = (args.first_head + head) * N;  // of the head's first channel
  const int own_row = static_cast<int>(threadIdx.x) / kLanesOfRow,
            lane = static_cast<int>(threadIdx.x) % kLanesOfRow;
  const Index row = row0 + own_row, state_at = (head * N + row) * N;
  const auto key_of = [&](int i) { return Index{4} * (kLanesOfRow * i + lane); };

  float4 S[kFours];
#pragma unroll
  for (int i = 0; i < kFours; ++i) {
    const bool there = row < N && key_of(i) < N && segment.in != nullptr;
    S[i] = there ? load_four<kWhole>(segment.in + state_at, key_of(i), N) : all_four(0);
  }
  for (Index first = segment.begin; first < segment.end; first += kTokensOfTile) {
    const int tokens =
        static_cast<int>(segment.end - first < kTokensOfTile ? segment.end - first : kTokensOfTile);
    __syncthreads();  // the tile before has been read
    for (int at = static_cast<int>(threadIdx.x); at < tokens * Rule::kOperands * (kKeys / 4);
         at += kRecurrenceThreads) {
      const int key = at % (kKeys / 4) * 4, operand = at / (kKeys / 4) % Rule::kOperands,
                t = at / (kKeys / 4 * Rule::kOperands);
      const float* const from = rule.operands[operand] + (first + t) * rule.strides[operand] + column;
      *reinterpret_cast<float4*>(&tile.operands[t][operand][key]) =
          key < N ? load_four<kWhole>(from, key, N) : all_four(0);
    }
    // Twice at most: unrolled it would take up to 60 registers more, and some kernels would spill.
#pragma unroll 1
    for (int at = static_cast<int>(threadIdx.x); at < tokens * kRowsOfBlock; at += kRecurrenceThreads) {
      const int r = at % kRowsOfBlock, t = at / kRowsOfBlock;
      tile.values[t][r] = row0 + r < N ? args.v[(first + t) * args.D + column + row0 + r] : 0.0f;
    }
    __syncthreads();
    for (int t = 0; t < tokens; ++t) {
      const float4* token[Rule::kOperands];
#pragma unroll
      for (int o = 0; o < Rule::kOperands; ++o)
        token[o] = reinterpret_cast<const float4*>(tile.operands[t][o]) + lane;
      const float y = Rule::template step<kFours>(S, token, tile.values[t][own_row]);
      if (lane == 0 && row < N) args.y[(first + t) * args.D + column + row] = y;
    }
  }
  if (segment.out == nullptr || row >= N) return;
#pragma unroll
  for (int i = 0; i < kFours; ++i) {
    if (key_of(i) < N) store_four<kWhole>(segment.out + state_at, key_of(i), N, S[i]);
  }
}

template <class Rule, int kFours>
void launch_recurrence(const RecurrenceParameters& args, const Rule& rule, const SegmentTable& segments,
                       Index heads, bool whole, Stream stream) {
  const dim3 blocks(static_cast<unsigned>(heads * args.slices), static_cast<unsigned>(segments.count));
  with_flag(whole, [&](auto is_whole) {
    launch(recurrence_kernel<Rule, kFours, is_whole.value>, blocks, kRecurrenceThreads, 0, stream, args, rule,
           segments);
  });
}

// The segments of one group. `rule` has its operands and strides.
template <class Rule>
void run_recurrence(RecurrenceParameters args, const Rule& rule, const SegmentTable& segments, Index heads,
                    Stream stream) {
  RR_CHECK_INPUT(args.N <= kMostHeadSize, "heads of ", args.N,
                 " channels: the CUDA backend has kernels for up to ", kMostHeadSize, "; use --backend cpu");
  args.slices = (args.N + kRowsOfBlock - 1) / kRowsOfBlock;
  bool whole = true;
  for (const float* operand : rule.operands) whole = whole && whole_fours(args.N, operand);
  for (int s = 0; s < segments.count; ++s) {
    whole = whole && whole_fours(args.N, segments.entries[s].in, segments.entries[s].out);
  }
  if (args.N <= 32) {
    launch_recurrence<Rule, 2>(args, rule, segments, heads, whole, stream);
  } else if (args.N <= 64) {
    launch_recurrence<Rule, 4>(args, rule, segments, heads, whole, stream);
  } else {
    launch_recurrence<Rule, 8>(args, rule, segments, heads, whole, stream);
  }
}

}  // namespace riverrun::kernels::cuda
