// WKV-4 token by token, with vectors over channels (docs/wkv.md).
//
// Channels never meet, and every one goes through the same element-wise operations whichever task, vector or
// lane holds it: neither a cut in time nor any split of the channels changes a bit. Of the two weights of a
// mean, e^(p - q) and e^(x - q) with q = max(p, x), one is always 1 and the other e^-|p - x|: one exponential
// instead of two.
#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv4.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "core/thread_pool.h"
#include "kernels/cpu/simd-inl.h"

#ifndef RIVERRUN_KERNELS_CPU_WKV4_ONCE
#define RIVERRUN_KERNELS_CPU_WKV4_ONCE
namespace riverrun::kernels::cpu {

// Channels [channel, channel + channels) of D over one segment.
struct Wkv4Task {
  const Wkv4Args* args;
  Segment segment;
  Index channel, channels;
  const float* state_in;  // of the first channel, or null
  float* state_out;       // of the first channel, or null
};

}  // namespace riverrun::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// Tokens overlap by themselves, the chains through p, a and b being short beside an exponential: more vectors
// at a time gained nothing when measured.
constexpr Index kVectorsAtOnce = 2;
constexpr Index kPrefetchTokens = 4;

template <class V>
struct Weights {
  V past, present;
};

// Of a past and a present whose exponents differ by `lead`, divided by the larger. A NaN becomes that of the
// present.
template <class D, class V>
HWY_INLINE Weights<V> weigh(D d, V lead) {
  const V smaller = exp_negative(d, hn::Or(lead, hn::Set(d, -0.0f))), one = hn::Set(d, 1.0f);  // e^-|lead|
  const auto behind = hn::Lt(lead, hn::Zero(d));
  return {hn::IfThenElse(behind, smaller, one), hn::IfThenElse(behind, one, smaller)};
}

// kVectors vectors of channels, starting with channel `first` of the task.
template <Index kVectors, class D>
HWY_NOINLINE void run_channels(D d, const Wkv4Task& task, Index first) {
  using V = hn::Vec<D>;
  const Wkv4Args& args = *task.args;
  const Index lanes = hn::Lanes(d), channel = task.channel + first;
  V a[kVectors], b[kVectors], p[kVectors];
  for (Index i = 0; i < kVectors; ++i) {
    a[i] = b[i] = hn::Zero(d), p[i] = hn::Set(d, kWkv4NoPast);
    if (task.state_in == nullptr) continue;
    hn::LoadInterleaved3(d, task.state_in + 3 * (first + i * lanes), a[i], b[i], p[i]);
  }
  for (Index t = task.segment.begin; t < task.segment.end; ++t) {
    for (Index i = 0; i < kVectors; ++i) {
      const Index c = channel + i * lanes, at = t * args.D + c;
      if (t + kPrefetchTokens < task.segment.end) {
        hwy::Prefetch(args.k + at + kPrefetchTokens * args.D);
        hwy::Prefetch(args.v + at + kPrefetchTokens * args.D);
      }
      const V k = hn::LoadU(d, args.k + at), v = hn::LoadU(d, args.v + at);
      const V w = hn::LoadU(d, args.w + c), u = hn::LoadU(d, args.u + c);
      // p - k first: where both weights count it is small, and what is added to it keeps its digits.
      const V lead = hn::Sub(p[i], k);
      const auto read = weigh(d, hn::Sub(lead, u));
      const V sum = hn::MulAdd(read.past, a[i], hn::Mul(read.present, v));
      hn::StoreU(hn::Div(sum, hn::MulAdd(read.past, b[i], read.present)), d, args.y + at);

      const V decayed = hn::Add(lead, w);
      const auto keep = weigh(d, decayed);
      a[i] = hn::MulAdd(keep.past, a[i], hn::Mul(keep.present, v));
      b[i] = hn::MulAdd(keep.past, b[i], keep.present);
      p[i] = hn::IfThenElse(hn::Lt(decayed, hn::Zero(d)), k, hn::Add(p[i], w));
    }
  }
  if (task.state_out == nullptr) return;
  for (Index i = 0; i < kVectors; ++i) {
    hn::StoreInterleaved3(a[i], b[i], p[i], d, task.state_out + 3 * (first + i * lanes));
  }
}

void run_task(const Wkv4Task& task) {
  const hn::CappedTag<float, 16> whole;
  const Index lanes = hn::Lanes(whole);
  Index channel = 0;
  for (; channel + kVectorsAtOnce * lanes <= task.channels; channel += kVectorsAtOnce * lanes) {
    run_channels<kVectorsAtOnce>(whole, task, channel);
  }
  for (; channel + lanes <= task.channels; channel += lanes) run_channels<1>(whole, task, channel);
  with_lanes(task.channels - channel, [&](auto d) {
    for (; channel < task.channels; channel += hn::Lanes(d)) run_channels<1>(d, task, channel);
  });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(run_task);

constexpr Index kChannels = 64;  // per task: whole cache lines of a row

}  // namespace

void wkv4(const Wkv4Args& args, Stream stream) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_channel >= 0 && args.channels >= 0 && args.first_channel + args.channels <= args.D,
           "channels ", args.first_channel, " + ", args.channels, " of ", args.D);
  const Index parts = (args.channels + kChannels - 1) / kChannels;
  stream.pool->run(args.segment_count * parts, [&](Index at, int) {
    const Index first = at % parts * kChannels, s = at / parts;
    const float* in = args.state_in[s];
    float* out = args.state_out[s];
    HWY_DYNAMIC_DISPATCH(run_task)
    ({&args, args.segments[s], args.first_channel + first, std::min(kChannels, args.channels - first),
      in == nullptr ? nullptr : in + 3 * first, out == nullptr ? nullptr : out + 3 * first});
  });
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
