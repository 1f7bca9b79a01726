// The element-wise work on either side of the WKV-7 recurrence, one head of one row at a time.
#include "kernels/cpu/rows.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv7_around.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/group_norm-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// One head of one row: elements [at, at + N) of the rows, [c, c + N) of the per-channel parameters.
template <class D>
HWY_INLINE void inputs_of_head(D d, const Wkv7InputsArgs& args, Index at, Index c) {
  const Index N = args.N, lanes = hn::Lanes(d);
  auto squares = hn::Zero(d);
  for (Index n = 0; n < N; n += lanes) {
    const auto kk = hn::Mul(hn::LoadU(d, args.k + at + n), hn::LoadU(d, args.k_k + c + n));
    squares = hn::MulAdd(kk, kk, squares);
  }
  const float norm = std::sqrt(sum_lanes(d, squares));
  const auto inverse = hn::Set(d, 1.0f / (norm < 1e-12f ? 1e-12f : norm));             // a NaN stays one
  const auto one = hn::Set(d, 1.0f), decay_scale = hn::Set(d, -0.60653065971263342f);  // -e^{-1/2}
  for (Index n = 0; n < N; n += lanes) {
    const Index i = at + n, p = c + n;
    const auto k = hn::LoadU(d, args.k + i);
    const auto rate = sigmoid(d, hn::Add(hn::LoadU(d, args.a0 + p), hn::LoadU(d, args.a + i)));
    const auto share = sigmoid(d, hn::Add(hn::LoadU(d, args.w0 + p), hn::LoadU(d, args.w + i)));
    const auto kk = hn::Mul(hn::Mul(k, hn::LoadU(d, args.k_k + p)), inverse);
    hn::StoreU(exp_negative(d, hn::Mul(decay_scale, share)), d, args.w + i);
    hn::StoreU(hn::Neg(kk), d, args.a + i);
    hn::StoreU(hn::Mul(kk, rate), d, args.b + i);
    hn::StoreU(hn::Mul(k, hn::MulAdd(hn::Sub(rate, one), hn::LoadU(d, args.k_a + p), one)), d, args.k + i);
    if (args.v_mix == nullptr) continue;
    const auto v = hn::LoadU(d, args.v + i);
    const auto mix = sigmoid(d, hn::Add(hn::LoadU(d, args.v0 + p), hn::LoadU(d, args.v_mix + i)));
    hn::StoreU(hn::MulAdd(hn::Sub(hn::LoadU(d, args.v_first + i), v), mix, v), d, args.v + i);
  }
}

template <class D, class To>
HWY_INLINE void readout_of_head(D d, const Wkv7ReadoutArgs& args, Index at, Index c, To* out) {
  const Index N = args.N, lanes = hn::Lanes(d);
  auto bonus = hn::Zero(d);
  for (Index n = 0; n < N; n += lanes) {
    const auto rk = hn::Mul(hn::LoadU(d, args.r + at + n), hn::LoadU(d, args.k + at + n));
    bonus = hn::MulAdd(rk, hn::LoadU(d, args.r_k + c + n), bonus);
  }
  const HeadNorm norm = norm_of_head(d, args.y + at, N, args.eps);
  const auto weight_of_v = hn::Set(d, sum_lanes(d, bonus));
  for (Index n = 0; n < N; n += lanes) {
    auto z = normalized(d, norm, args.y + at + n, args.weight + c + n, args.bias + c + n);
    z = hn::MulAdd(weight_of_v, hn::LoadU(d, args.v + at + n), z);
    store(d, hn::Mul(z, hn::LoadU(d, args.g + at + n)), out + n);
  }
}

void inputs_rows(const Wkv7InputsArgs& args, Index begin, Index end) {
  const Index D = args.H * args.N;
  with_lanes(args.N, [&](auto d) {
    for (Index m = begin; m < end; ++m) {
      for (Index c = 0; c < D; c += args.N) inputs_of_head(d, args, m * D + c, c);
    }
  });
}

void readout_rows(const Wkv7ReadoutArgs& args, Index begin, Index end) {
  for_each_head(args, begin, end, [&](auto d, Index at, Index c, auto* out) { readout_of_head(d, args, at, c, out); });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(inputs_rows);
HWY_EXPORT(readout_rows);

}  // namespace

void wkv7_inputs(const Wkv7InputsArgs& args, Stream stream) {
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(inputs_rows));
}

void wkv7_readout(const Wkv7ReadoutArgs& args, Stream stream) {
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(readout_rows));
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
