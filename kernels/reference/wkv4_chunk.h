// WKV-4 in chunks: what the tokens of one leave in an empty state is summed by itself and merged with the state in front of them, so that
// chunks wait for each other in one step a chunk.
//
// The model of kernels/cuda/wkv4.cu on the CPU; no table holds it (docs/wkv.md).
#pragma once

#include "core/stream.h"
#include "kernels/wkv4.h"

namespace riverrun::kernels::reference {

inline constexpr Index kWkv4Chunk = 64;

// A sum of values with positive weights: numerator a and denominator b, both divided by e^p. As in a state.
struct Wkv4Sum {
  float a = 0, b = 0, p = kWkv4NoPast;
};

// `past` followed by `present`, during whose tokens the past decays by e^decay (decay = w times their
// number):
//
//   p = max(past.p + decay, present.p);   a = e^(past.p + decay - p) past.a + e^(present.p - p) present.a; b
//   likewise
//
// Associative up to rounding. Scaled by the larger exponent, since e^(-w t) by itself leaves the range of
// fp32 after a few tokens of a strong decay.
Wkv4Sum merge(const Wkv4Sum& past, const Wkv4Sum& present, double decay);

// The contract of kernels::Wkv4, with results that differ from the recurrence by rounding. Chunks start at a
// segment's first row, so a cut at a multiple of kWkv4Chunk changes no bit, and another cut changes rounding
// only.
void wkv4_chunk(const Wkv4Args& args, Stream stream);

}  // namespace riverrun::kernels::reference
