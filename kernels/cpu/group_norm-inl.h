// The group norm behind a recurrence, once per instruction set: mean and deviation of one head of one row.

// Included once per target: no plain include guard (see hwy/foreach_target.h).
#if defined(RIVERRUN_KERNELS_CPU_GROUP_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RIVERRUN_KERNELS_CPU_GROUP_NORM_INL_H_
#undef RIVERRUN_KERNELS_CPU_GROUP_NORM_INL_H_
#else
#define RIVERRUN_KERNELS_CPU_GROUP_NORM_INL_H_
#endif

#include <cmath>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// GN(y)[n] = (y[n] - mean) * scale * weight[n] + bias[n]
struct HeadNorm {
  float mean, scale;
};

template <class D>
HWY_INLINE HeadNorm norm_of_head(D d, const float* y, Index N, float eps) {
  const Index lanes = hn::Lanes(d);
  auto sum = hn::Zero(d), squares = hn::Zero(d);
  for (Index n = 0; n < N; n += lanes) sum = hn::Add(sum, hn::LoadU(d, y + n));
  const float mean = sum_lanes(d, sum) / static_cast<float>(N);
  for (Index n = 0; n < N; n += lanes) {
    const auto away = hn::Sub(hn::LoadU(d, y + n), hn::Set(d, mean));
    squares = hn::MulAdd(away, away, squares);
  }
  return {mean, 1.0f / std::sqrt(sum_lanes(d, squares) / static_cast<float>(N) + eps)};
}

// Elements n of GN(y); `weight` and `bias` are those of the elements.
template <class D>
HWY_INLINE hn::Vec<D> normalized(D d, const HeadNorm& norm, const float* y, const float* weight,
                                 const float* bias) {
  const auto normal = hn::Mul(hn::Sub(hn::LoadU(d, y), hn::Set(d, norm.mean)), hn::Set(d, norm.scale));
  return hn::MulAdd(normal, hn::LoadU(d, weight), hn::LoadU(d, bias));
}

// Calls body(d, at, c, out) for each head of rows [begin, end) of a read-out: elements [at, at + N) of the rows, [c, c + N) of the
// per-channel parameters, `out` at the head's first element in args.out.
template <class Args, class Body>
HWY_INLINE void for_each_head(const Args& args, Index begin, Index end, Body body) {
  const Index D = args.H * args.N;
  with_lanes(args.N, [&](auto d) {
    with_type(args.out, args.out_type, 0, [&](auto* out) {
      for (Index m = begin; m < end; ++m) {
        for (Index c = 0; c < D; c += args.N) body(d, m * D + c, c, out + m * D + c);
      }
    });
  });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
