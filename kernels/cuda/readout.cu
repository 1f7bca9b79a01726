#include <limits>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr unsigned kLogProbThreads = 256;

__device__ float most_over_block(float value, BlockSum& of) {
#pragma unroll
  for (int away = kWarp / 2; away > 0; away /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, away));
  if (threadIdx.x % kWarp == 0) of.of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) value = fmaxf(value, of.of_warp[warp]);
  __syncthreads();
  return value;
}

// A block takes a row. A NaN is passed over by the maximum, but not by the sum of exponentials.
__global__ void __launch_bounds__(kLogProbThreads) log_prob_kernel(LogProbArgs args) {
  wait_for_previous();
  BlockSum& sums = block_shared<BlockSum>();
  const float* row = args.logits + blockIdx.x * args.V;
  float most = -std::numeric_limits<float>::infinity();
  for (Index v = threadIdx.x; v < args.V; v += kLogProbThreads) most = fmaxf(most, row[v]);
  most = most_over_block(most, sums);
  float sum = 0;
  for (Index v = threadIdx.x; v < args.V; v += kLogProbThreads) sum += expf(row[v] - most);
  sum = sum_over_block(sum, sums);
  if (threadIdx.x == 0) args.out[blockIdx.x] = row[args.targets[blockIdx.x]] - most - logf(sum);
}

constexpr unsigned kPickThreads = 512;
constexpr TokenId kNoToken = std::numeric_limits<TokenId>::max();

// The largest of some logits, the first of them, and whether one of them is none.
struct Largest {
  float value = -std::numeric_limits<float>::infinity();
  TokenId at = kNoToken;
  int unsound = 0;

  __device__ __forceinline__ void see(Largest other) {
    if (other.value > value || (other.value == value && other.at < at)) value = other.value, at = other.at;
    unsound |= other.unsound;
  }
};

struct LargestOfWarps {
  float value[kWarp];
  TokenId at[kWarp];
  int unsound[kWarp];
};

// Of the block, in its first thread.
__device__ __forceinline__ Largest largest_over_block(Largest mine, LargestOfWarps& of) {
#pragma unroll
  for (int away = kWarp / 2; away > 0; away /= 2) {
    Largest other;
    other.value = __shfl_xor_sync(kAllLanes, mine.value, away);
    other.at = __shfl_xor_sync(kAllLanes, mine.at, away);
    other.unsound = __shfl_xor_sync(kAllLanes, mine.unsound, away);
    mine.see(other);
  }
  const unsigned warp = threadIdx.x / kWarp;
  if (threadIdx.x % kWarp == 0) of.value[warp] = mine.value, of.at[warp] = mine.at, of.unsound[warp] = mine.unsound;
  __syncthreads();
  for (unsigned w = 0; threadIdx.x == 0 && w < blockDim.x / kWarp; ++w) {
    Largest other;
    other.value = of.value[w], other.at = of.at[w], other.unsound = of.unsound[w];
    mine.see(other);
  }
  return mine;
}

// A block takes a row.
__global__ void __launch_bounds__(kPickThreads) pick_largest_kernel(PickLargestArgs args) {
  wait_for_previous();
  LargestOfWarps& warps = block_shared<LargestOfWarps>();
  float* row = args.logits + blockIdx.x * args.V;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (Index i = threadIdx.x; i < args.banned_count; i += kPickThreads) row[args.banned[i]] = -kInfinity;
  __syncthreads();
  if (args.penalty_begin != nullptr) {
    const Index end = args.penalty_begin[blockIdx.x + 1];
#pragma unroll 1  // a few tokens; unrolled, it would spill
    for (Index i = args.penalty_begin[blockIdx.x] + threadIdx.x; i < end; i += kPickThreads) {
      row[args.penalised[i]] -= args.penalties[i];
    }
  }
  __syncthreads();
  Largest largest;
  for (Index v = threadIdx.x; v < args.V; v += kPickThreads) {
    const float logit = row[v];
    if (!(logit < kInfinity)) largest.unsound = 1;  // NaN, too
    if (logit > largest.value) largest.value = logit, largest.at = static_cast<TokenId>(v);
  }
  largest = largest_over_block(largest, warps);
  if (threadIdx.x == 0) args.out[blockIdx.x] = largest.unsound != 0 || largest.at == kNoToken ? -1 : largest.at;
}

constexpr unsigned kSumThreads = 64;
constexpr Index kRowsAhead = 8;  // rows read at once: the additions wait for each other, the reads need not

// A thread per column.
__global__ void __launch_bounds__(kSumThreads) sum_rows_kernel(SumRowsArgs args) {
  wait_for_previous();
  const Index d = Index{blockIdx.x} * kSumThreads + threadIdx.x;
  if (d >= args.D) return;
  double sum = args.sum[d];
  const float* x = args.x + d;
  Index m = 0;
  for (; m + kRowsAhead <= args.M; m += kRowsAhead) {
    float rows[kRowsAhead];
#pragma unroll
    for (Index i = 0; i < kRowsAhead; ++i) rows[i] = x[(m + i) * args.D];
#pragma unroll
    for (Index i = 0; i < kRowsAhead; ++i) sum += static_cast<double>(rows[i]);
  }
  for (; m < args.M; ++m) sum += static_cast<double>(x[m * args.D]);
  args.sum[d] = sum;
}

}  // namespace

void log_prob(const LogProbArgs& args, Stream stream) {
  launch(log_prob_kernel, dim3(static_cast<unsigned>(args.M)), kLogProbThreads, 0, stream, args);
}

void pick_largest(const PickLargestArgs& args, Stream stream) {
  launch(pick_largest_kernel, dim3(static_cast<unsigned>(args.M)), kPickThreads, 0, stream, args);
}

void sum_rows(const SumRowsArgs& args, Stream stream) {
  if (args.M == 0) return;
  launch(sum_rows_kernel, dim3(blocks_for(args.D, kSumThreads)), kSumThreads, 0, stream, args);
}

}  // namespace riverrun::kernels::cuda
