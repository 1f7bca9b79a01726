#include "kernels/draw.h"

#include <limits>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

// A block takes a row. Its threads find the cutoff digit by digit: each keeps the mass of every digit among the tokens that it sees, in
// a column of shared memory that nobody else touches, and then each warp adds up the columns of one digit.
constexpr int kDigit = 4, kDigits = 1 << kDigit;
constexpr unsigned kThreads = kDigits * kWarp;  // as many warps as digits

struct DrawShared {
  std::uint64_t of_warp[kDigits];
  std::uint64_t mass[kDigits][kThreads];
};

struct Cutoff {
  std::uint32_t bits;    // of the distance
  std::uint64_t nearer;  // the mass of smaller distances
};

class Row {
 public:
  __device__ __forceinline__ Row(const float* logits, Index V, TokenId largest)
      : logits_(logits), V_(V), largest_(logits[largest]) {}

  __device__ __forceinline__ Index size() const { return V_; }
  // Of the distance.
  __device__ __forceinline__ std::uint32_t bits(Index v) const { return float_as_bits(fabsf(largest_ - logits_[v])); }

 private:
  const float* logits_;
  Index V_;
  float largest_;
};

__device__ __forceinline__ std::uint64_t whole_sum_over_lanes(std::uint64_t value) {
#pragma unroll
  for (int away = kWarp / 2; away > 0; away /= 2) value += __shfl_xor_sync(kAllLanes, value, away);
  return value;
}

// Warps leave one sum each, which all threads can read until this is called again.
__device__ __forceinline__ void publish(std::uint64_t sum_of_warp, DrawShared& shared) {
  if (threadIdx.x % kWarp == 0) shared.of_warp[threadIdx.x / kWarp] = sum_of_warp;
  __syncthreads();
}

__device__ __forceinline__ std::uint64_t sum_of_warps(const DrawShared& shared) {
  std::uint64_t sum = 0;
  for (int warp = 0; warp < kDigits; ++warp) sum += shared.of_warp[warp];
  return sum;
}

__device__ __forceinline__ Index at_most(Index value, Index most) { return value < most ? value : most; }

// The smallest distance up to which the tokens hold the mass that wanted(mass of all) asks for.
template <class Mass, class Wanted>
__device__ __forceinline__ Cutoff find_cutoff(const Row& row, Mass mass, Wanted wanted, DrawShared& shared) {
  Cutoff cutoff = {0, 0};
  std::uint64_t target = 0;
  for (int shift = (kDistanceBits - 1) / kDigit * kDigit; shift >= 0; shift -= kDigit) {
    const bool first = shift + kDigit >= kDistanceBits;
    for (int digit = 0; digit < kDigits; ++digit) shared.mass[digit][threadIdx.x] = 0;
#pragma unroll 4
    for (Index v = threadIdx.x; v < row.size(); v += kThreads) {
      const std::uint32_t bits = row.bits(v), digits = bits >> shift;
      if (first || digits >> kDigit == cutoff.bits) shared.mass[digits % kDigits][threadIdx.x] += mass(bits_as_float(bits));
    }
    __syncthreads();
    std::uint64_t sum = 0;
    for (unsigned column = threadIdx.x % kWarp; column < kThreads; column += kWarp) sum += shared.mass[threadIdx.x / kWarp][column];
    publish(whole_sum_over_lanes(sum), shared);
    if (first) target = wanted(sum_of_warps(shared));
    std::uint32_t digit = 0;
    while (cutoff.nearer + shared.of_warp[digit] < target) cutoff.nearer += shared.of_warp[digit++];
    cutoff.bits = cutoff.bits << kDigit | digit;
    __syncthreads();
  }
  return cutoff;
}

// The token at which the running sum of mass(token), in order of id, first exceeds what share(mass of all) gives: the row is cut into a
// part for each warp, the part where it happens is cut again, and so on.
template <class Mass, class Share>
__device__ __forceinline__ Index find_token(Index V, Mass mass, Share share, DrawShared& shared) {
  std::uint64_t left = 0;
  Index begin = 0, end = V;
  do {
    const bool first = end - begin == V;
    const Index length = (end - begin + kDigits - 1) / kDigits;
    const Index mine = begin + threadIdx.x / kWarp * length, mine_end = at_most(mine + length, end);
    std::uint64_t sum = 0;
#pragma unroll 4
    for (Index v = mine + threadIdx.x % kWarp; v < mine_end; v += kWarp) sum += mass(v);
    publish(whole_sum_over_lanes(sum), shared);
    if (first) left = share(sum_of_warps(shared));
    Index warp = 0;
    while (left >= shared.of_warp[warp]) left -= shared.of_warp[warp++];
    begin += warp * length;
    end = at_most(begin + length, end);
    __syncthreads();
  } while (end - begin > 1);
  return begin;
}

// Which tokens can come: those that are nearer, and at that distance those up to the last one.
struct Limit {
  std::uint32_t bits;
  Index last_tie;
};

__device__ __forceinline__ Limit find_limit(const Row& row, const DrawArgs& args, DrawShared& shared) {
  Limit limit = {std::numeric_limits<std::uint32_t>::max(), args.V};
  if (args.top_p < 1) {
    limit.bits = find_cutoff(
                     row, [](float distance) { return weight_at(distance); },
                     [&args](std::uint64_t mass) { return mass_wanted(mass, args.top_p); }, shared)
                     .bits;
  }
  if (args.top_k == 0 || args.top_k >= args.V) return limit;
  const auto most = static_cast<std::uint64_t>(args.top_k);
  const Cutoff cutoff = find_cutoff(
      row, [](float) { return std::uint64_t{1}; }, [most](std::uint64_t) { return most; }, shared);
  if (cutoff.bits > limit.bits) return limit;
  const auto ties = [&](Index v) { return std::uint64_t{row.bits(v) == cutoff.bits}; };
  return {cutoff.bits, find_token(args.V, ties, [&](std::uint64_t) { return most - cutoff.nearer - 1; }, shared)};
}

__global__ void __launch_bounds__(kThreads) draw_kernel(DrawArgs args) {
  wait_for_previous();
  DrawShared& shared = *launch_shared<DrawShared>();
  const TokenId largest = args.tokens[blockIdx.x];
  if (largest < 0) return;
  const Row row(args.logits + blockIdx.x * args.V, args.V, largest);
  const Limit limit = find_limit(row, args, shared);
  const auto weight = [&](Index v) {
    const std::uint32_t bits = row.bits(v);
    if (bits > limit.bits || (bits == limit.bits && v > limit.last_tie)) return std::uint64_t{0};
    return weight_at(bits_as_float(bits) * args.inverse_temperature);
  };
  const std::uint64_t random = args.random[blockIdx.x];
  const Index token = find_token(args.V, weight, [random](std::uint64_t sum) { return share_of(random, sum); }, shared);
  if (threadIdx.x == 0) args.tokens[blockIdx.x] = static_cast<TokenId>(token);
}

}  // namespace

void draw(const DrawArgs& args, Stream stream) {
  launch(draw_kernel, dim3(static_cast<unsigned>(args.M)), kThreads, sizeof(DrawShared), stream, args);
}

}  // namespace riverrun::kernels::cuda
