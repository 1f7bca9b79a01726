// WKV-4: the recurrence of RWKV-4 time mix, channel by channel.
//
// A weighted mean of all values so far, the weights in log space so that nothing overflows. One channel, one token;
// (a, b, p) is the state left by the token before: numerator and denominator, both divided by e^p.
//
//   q = max(p, u + k);   y = (e^(p - q) a + e^(u + k - q) v) / (e^(p - q) b + e^(u + k - q))
//   q = max(p + w, k);   a' = e^(p + w - q) a + e^(k - q) v;   b' = e^(p + w - q) b + e^(k - q);   p' = q
//
// Before the first token a = b = 0 and p = kWkv4NoPast. Source: "RWKV: Reinventing RNNs", arXiv:2305.13048,
// appendix on numerical stability. All of it is fp32.
#pragma once

#include "core/stream.h"
#include "core/types.h"
#include "kernels/phase.h"
#include "kernels/segment.h"

namespace riverrun::kernels {

// The exponent of an empty past: below every other, and finite, since infinity minus infinity is not a number.
inline constexpr float kWkv4NoPast = -1e30f;

struct Wkv4Args {
  Index M, D;
  Index first_channel, channels;  // the range of channels that this call computes: others are left alone
  const float* k;                 // [M, D]
  const float* v;                 // [M, D]
  const float* w;                 // [D] logarithm of the decay factor, -e^time_decay: below 0
  const float* u;                 // [D] bonus of the present token, added to k
  float* y;                       // [M, D]: columns of the range are written; may not overlap the inputs
  Index segment_count;
  const Segment* segments;
  const float* const* state_in;  // per segment: [channels, 3] as [channel][a, b, p], or null: no past
  float* const* state_out;       // per segment, same layout, or null: not wanted; may be the same memory as state_in.
                                 // An empty segment copies state_in.
  Phase phase = Phase::prefill;
};

using Wkv4 = void (*)(const Wkv4Args& args, Stream stream);

}  // namespace riverrun::kernels
