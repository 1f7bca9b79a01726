// The element-wise work on either side of the WKV-6 recurrence: row by row, and one head of a row at a time.
#include "kernels/cpu/rows.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv6_around.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/group_norm-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// exp(-exp(x)). From x = 5 on it is 0 in fp32, which keeps the inner exponential in its range.
template <class D, class V>
HWY_INLINE V decay_factor(D d, V x) {
  const auto factor = hn::Exp(d, hn::Neg(hn::Exp(d, hn::Min(x, hn::Set(d, 5.0f)))));
  return hn::IfThenElse(hn::IsNaN(x), x, factor);
}

void decay_rows(const Wkv6DecayArgs& args, Index begin, Index end) {
  with_lanes(args.D, [&](auto d) {
    const Index lanes = hn::Lanes(d);
    for (Index m = begin; m < end; ++m) {
      float* row = args.w + m * args.D;
      for (Index c = 0; c < args.D; c += lanes) {
        hn::StoreU(decay_factor(d, hn::Add(hn::LoadU(d, args.w0 + c), hn::LoadU(d, row + c))), d, row + c);
      }
    }
  });
}

// One head of one row: elements [at, at + N) of the rows, [c, c + N) of the per-channel parameters.
template <class D, class To>
HWY_INLINE void readout_of_head(D d, const Wkv6ReadoutArgs& args, Index at, Index c, To* out) {
  const Index N = args.N, lanes = hn::Lanes(d);
  const HeadNorm norm = norm_of_head(d, args.y + at, N, args.eps);
  for (Index n = 0; n < N; n += lanes) {
    auto z = normalized(d, norm, args.y + at + n, args.weight + c + n, args.bias + c + n);
    if (args.g != nullptr) z = hn::Mul(z, hn::LoadU(d, args.g + at + n));
    store(d, z, out + n);
  }
}

void readout_rows(const Wkv6ReadoutArgs& args, Index begin, Index end) {
  for_each_head(args, begin, end, [&](auto d, Index at, Index c, auto* out) { readout_of_head(d, args, at, c, out); });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(decay_rows);
HWY_EXPORT(readout_rows);

}  // namespace

void wkv6_decay(const Wkv6DecayArgs& args, Stream stream) {
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(decay_rows));
}

void wkv6_readout(const Wkv6ReadoutArgs& args, Stream stream) {
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(readout_rows));
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
