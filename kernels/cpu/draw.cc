#include "kernels/draw.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/draw.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "core/thread_pool.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// weights[v] = weight_at(distances[v] * scale)
void weigh(const float* distances, Index V, float scale, std::uint64_t* weights) {
  Index v = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::CappedTag<std::uint64_t, 8> d;
  const hn::Rebind<float, decltype(d)> of_distance;
  const hn::Rebind<std::int32_t, decltype(d)> whole;
  const hn::Rebind<std::uint32_t, decltype(d)> unsigned_whole;
  const auto product = [d](auto a, auto b) {  // of the lower halves
    const hn::Repartition<std::uint32_t, decltype(d)> halves;
    return hn::MulEven(hn::BitCast(halves, a), hn::BitCast(halves, b));
  };
  const Index lanes = hn::Lanes(d);
  for (; v + lanes <= V; v += lanes) {
    // At kFarthest itself a weight is below 1.
    const auto distance = hn::Min(hn::Mul(hn::LoadU(of_distance, distances + v), hn::Set(of_distance, scale)), hn::Set(of_distance, kFarthest));
    const auto units = hn::ConvertTo(whole, hn::Mul(distance, hn::Set(of_distance, kDistanceUnit)));
    const auto halvings = product(hn::PromoteTo(d, hn::BitCast(unsigned_whole, units)), hn::Set(d, kHalvings));
    const auto f = hn::And(hn::ShiftRight<kHalvingBits - 32>(halvings), hn::Set(d, 0xffffffffu));
    auto q = hn::Zero(d);
    for (const std::uint64_t coefficient : kPowerOfTwo) q = hn::Sub(hn::Set(d, coefficient), hn::ShiftRight<32>(product(f, q)));
    const auto power = hn::Sub(hn::Set(d, std::uint64_t{1} << 32), hn::ShiftRight<32>(product(f, q)));
    hn::StoreU(hn::Shr(hn::ShiftLeft<8>(power), hn::ShiftRight<kHalvingBits>(halvings)), d, weights + v);
  }
#endif
  for (; v < V; ++v) weights[v] = weight_at(distances[v] * scale);
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(weigh);

// The bits of a distance, and the mass of what is nearer.
struct Cutoff {
  std::uint32_t bits;
  std::uint64_t nearer;
};

// The smallest distance up to which the tokens hold the mass that wanted(mass of all) asks for: digit by digit of its bits, by the
// mass that tokens have for each digit.
template <class Mass, class Wanted>
Cutoff find_cutoff(const std::vector<float>& distances, Mass mass, Wanted wanted) {
  constexpr int kDigit = 11;
  std::array<std::uint64_t, 1 << kDigit> bins;
  Cutoff cutoff = {};
  std::uint64_t target = 0;
  for (int shift = kDistanceBits; shift > 0;) {
    const int above = shift, digit = std::min(kDigit, shift);
    shift -= digit;
    bins.fill(0);
    for (std::size_t v = 0; v < distances.size(); ++v) {
      const auto bits = std::bit_cast<std::uint32_t>(distances[v]);
      if (bits >> above == cutoff.bits) bins[bits >> shift & ((1u << digit) - 1)] += mass(v);
    }
    if (above == kDistanceBits) {
      std::uint64_t all = 0;
      for (const std::uint64_t bin : bins) all += bin;
      target = wanted(all);
    }
    std::uint32_t at = 0;
    while (cutoff.nearer + bins[at] < target) cutoff.nearer += bins[at++];
    cutoff.bits = cutoff.bits << digit | at;
  }
  return cutoff;
}

// Which tokens can come: those that are nearer, and at that distance the first ones.
constexpr auto kNoLimit = std::numeric_limits<std::uint32_t>::max();
struct Limit {
  std::uint32_t bits = kNoLimit;  // of the distance
  std::uint64_t ties = std::numeric_limits<std::uint64_t>::max();
};

Limit find_limit(const std::vector<float>& distances, std::vector<std::uint64_t>& weights, const DrawArgs& args) {
  Limit limit;
  if (args.top_p < 1) {
    HWY_DYNAMIC_DISPATCH(weigh)(distances.data(), args.V, 1, weights.data());
    const auto mass = [&weights](std::size_t v) { return weights[v]; };
    limit.bits = find_cutoff(distances, mass, [&args](std::uint64_t all) { return mass_wanted(all, args.top_p); }).bits;
  }
  if (args.top_k > 0 && args.top_k < args.V) {
    const auto most = static_cast<std::uint64_t>(args.top_k);
    const Cutoff cutoff = find_cutoff(distances, [](std::size_t) { return std::uint64_t{1}; }, [most](std::uint64_t) { return most; });
    if (cutoff.bits <= limit.bits) limit = {cutoff.bits, most - cutoff.nearer};
  }
  return limit;
}

// Weights, 0 for tokens that can not come. Few can where there is a limit, and they are weighed one by one.
void weigh_within(const Limit& limit, const std::vector<float>& distances, float scale, std::vector<std::uint64_t>& weights) {
  if (limit.bits == kNoLimit) return HWY_DYNAMIC_DISPATCH(weigh)(distances.data(), std::ssize(distances), scale, weights.data());
  std::uint64_t ties = 0;
  for (std::size_t v = 0; v < distances.size(); ++v) {
    const auto bits = std::bit_cast<std::uint32_t>(distances[v]);
    const bool can_come = bits < limit.bits || (bits == limit.bits && ties++ < limit.ties);
    weights[v] = can_come ? weight_at(distances[v] * scale) : 0;
  }
}

TokenId draw_from(const float* row, TokenId largest, const DrawArgs& args, std::uint64_t random) {
  thread_local std::vector<float> kept_distances;
  thread_local std::vector<std::uint64_t> kept_weights;
  const auto V = static_cast<std::size_t>(args.V);
  kept_distances.resize(V), kept_weights.resize(V);
  std::vector<float>& distances = kept_distances;
  std::vector<std::uint64_t>& weights = kept_weights;
  const float most = row[largest];
  for (std::size_t v = 0; v < V; ++v) distances[v] = std::abs(most - row[v]);
  const Limit limit = find_limit(distances, weights, args);
  weigh_within(limit, distances, args.inverse_temperature, weights);
  std::uint64_t share = share_of(random, std::accumulate(weights.begin(), weights.end(), std::uint64_t{0}));
  std::size_t token = 0;
  while (share >= weights[token]) share -= weights[token++];
  return static_cast<TokenId>(token);
}

}  // namespace

void draw(const DrawArgs& args, Stream stream) {
  stream.pool->run_ranges(args.M, 1, [&](Index begin, Index end, int) {
    for (Index m = begin; m < end; ++m) {
      if (args.tokens[m] >= 0) args.tokens[m] = draw_from(args.logits + m * args.V, args.tokens[m], args, args.random[m]);
    }
  });
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
