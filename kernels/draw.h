// Drawing the next token from a row of logits.
//
// Everything that is added up or compared is a whole number, and so sums have no order: for the same logits and random
// number every backend, however it deals out its work, draws the same token.
#pragma once

#include <cstdint>

#include "core/stream.h"
#include "core/types.h"

namespace riverrun::kernels {

// So that a sum of weights, 2^40 at most each, fits 64 bits.
inline constexpr Index kMostDrawn = Index{1} << 23;

// For each row, a token drawn as `rwkv` does it (rwkv.utils.PIPELINE):
//   1. A token's distance is that of its logit from the row's largest. Sorted by distance, and among equal ones by id, as many tokens
//      can come as hold mass_wanted() of the mass of all, a token's mass being weight_at(distance), and those as near as the last
//      of these;
//   2. of them, top_k at most;
//   3. with weights weight_at(distance * inverse_temperature) one of them is drawn: the first, in order of id, at which the
//      running sum of weights exceeds share_of(random[m], their sum).
struct DrawArgs {
  Index M, V;                   // V up to kMostDrawn
  const float* logits;          // [M, V]; minus infinity: can not come
  float inverse_temperature;    // > 0, finite
  double top_p;                 // above 0; from 1 on all the mass is wanted, and all tokens can come
  Index top_k;                  // 0: no limit
  const std::uint64_t* random;  // [M], uniform over all values
  TokenId* tokens;              // [M], in: the row's largest, as PickLargest gives it; out: the token. -1 stays.
};

using Draw = void (*)(const DrawArgs& args, Stream stream);

// A distance's place among others: the bits of a number that is not negative are in its order. 31 bits.
inline constexpr int kDistanceBits = 31;

// For weight_at(), which the SIMD kernels have once more.
inline constexpr float kFarthest = 28, kDistanceUnit = 0x1p26f;
inline constexpr std::uint64_t kHalvings = 3098164009u;  // 2^31 / ln 2
inline constexpr int kHalvingBits = 26 + 31;
inline constexpr std::uint64_t kPowerOfTwo[] = {493577u, 5547538u, 41218952u, 238367376u, 1031763206u, 2977044447u};

// exp(-distance) in units of 2^-40, to 3e-8 of itself and downwards to a whole number; 0 from 28 on, where it is below 1.
// The distance x is taken to 26 bits behind the point; exp(-x) = 2^-n 2^-f with x = (n + f) ln 2, n whole, and 2^-f is 1 - f q(f),
// where the polynomial q interpolates at the Chebyshev nodes of [0, 1].
constexpr std::uint64_t weight_at(float distance) {
  if (!(distance < kFarthest)) return 0;
  const std::uint64_t halvings = static_cast<std::uint32_t>(distance * kDistanceUnit) * kHalvings;
  const std::uint64_t f = halvings >> (kHalvingBits - 32) & 0xffffffffu;  // in units of 2^-32, as all that follows
  std::uint64_t q = 0;
  for (const std::uint64_t coefficient : kPowerOfTwo) q = coefficient - (f * q >> 32);
  const std::uint64_t power = (std::uint64_t{1} << 32) - (f * q >> 32);
  return power << 8 >> (halvings >> kHalvingBits);
}

// How much of the sum `mass`, which is not 0, is top_p of it, upwards to a whole number. Below 1 a top_p takes away more than a mass
// can gain by becoming a double.
constexpr std::uint64_t mass_wanted(std::uint64_t mass, double top_p) {
  if (top_p >= 1) return mass;
  const double wanted = top_p * static_cast<double>(mass);
  const auto whole = static_cast<std::uint64_t>(wanted);
  return static_cast<double>(whole) < wanted ? whole + 1 : whole;
}

// floor(sum * random / 2^64)
constexpr std::uint64_t share_of(std::uint64_t random, std::uint64_t sum) {
  const std::uint64_t random_high = random >> 32, random_low = random & 0xffffffffu, high = sum >> 32, low = sum & 0xffffffffu;
  const std::uint64_t lows = random_low * low >> 32, cross = random_high * low + lows;
  const std::uint64_t middle = random_low * high + (cross & 0xffffffffu);
  return random_high * high + (cross >> 32) + (middle >> 32);
}

}  // namespace riverrun::kernels
