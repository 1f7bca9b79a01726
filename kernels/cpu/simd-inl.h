// What the vector kernels share, once per instruction set: lane counts, stores of every type, exp and
// sigmoid.
//
// A vector has the largest power of two of lanes that divides the row length, so there are no tails and an
// element is computed alike wherever it stands. The files are compiled with -ffp-contract=off for the same
// reason.

// Included once per target: no plain include guard (see hwy/foreach_target.h).
#if defined(RIVERRUN_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RIVERRUN_KERNELS_CPU_SIMD_INL_H_
#undef RIVERRUN_KERNELS_CPU_SIMD_INL_H_
#else
#define RIVERRUN_KERNELS_CPU_SIMD_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <utility>

#include "core/error.h"
#include "core/types.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The address of what HWY_DYNAMIC_DISPATCH calls; newer versions of Highway have a macro of their own for it.
#ifndef RIVERRUN_DISPATCHED
#ifdef HWY_DYNAMIC_POINTER
#define RIVERRUN_DISPATCHED(function) HWY_DYNAMIC_POINTER(function)
#else
#define RIVERRUN_DISPATCHED(function) &HWY_DYNAMIC_DISPATCH(function)
#endif
#endif

// Calls body(tag) with a vector type whose lanes divide `size`.
template <class Body>
HWY_INLINE void with_lanes(Index size, Body&& body) {
  if (size % 16 == 0) return body(hn::CappedTag<float, 16>());
  if (size % 8 == 0) return body(hn::CappedTag<float, 8>());
  if (size % 4 == 0) return body(hn::CappedTag<float, 4>());
  body(hn::CappedTag<float, 1>());
}

// body(0), body(1), ...: arrays of vectors that are indexed by numbers that are types stay in registers, which those of a loop that the
// compiler unrolls late do not. Without vectors there is nothing to gain, and much to compile.
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
template <Index kCount, class Body>
HWY_INLINE void unrolled(Body&& body) {
  for (Index i = 0; i < kCount; ++i) body(i);
}
#else
template <class Body, Index... kNumbers>
HWY_INLINE void call_with(Body&& body, std::integer_sequence<Index, kNumbers...>) {
  (body(std::integral_constant<Index, kNumbers>()), ...);
}
template <Index kCount, class Body>
HWY_INLINE void unrolled(Body&& body) {
  call_with(body, std::make_integer_sequence<Index, kCount>());
}
#endif
#ifndef RIVERRUN_INLINE
#define RIVERRUN_INLINE __attribute__((always_inline))  // of a lambda
#endif

struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

template <class D, class V>
HWY_INLINE void store(D d, V value, float* to) {
  hn::StoreU(value, d, to);
}

template <class D, class V>
HWY_INLINE void store(D, V value, Bf16* to) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<std::int32_t, D> di;
  const hn::Rebind<std::uint16_t, D> d16;
  const auto bits = hn::BitCast(du, value);
  const auto upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu))));
  const auto nan = hn::Or(upper, hn::Set(du, 0x40u));
  const auto result = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(value)), nan, rounded);
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, result)), d16, reinterpret_cast<std::uint16_t*>(to));
}

template <class D, class V>
HWY_INLINE void store(D d, V value, F16* to) {
  float lanes[hn::MaxLanes(d)];
  hn::StoreU(value, d, lanes);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) to[i].bits = float_to_f16(lanes[i]);
}

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const float* from) {
  return hn::LoadU(d, from);
}

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const Bf16* from) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<std::uint16_t, D> d16;
  const auto bits = hn::PromoteTo(du, hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(from)));
  return hn::BitCast(d, hn::ShiftLeft<16>(bits));
}

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const F16* from) {
  float lanes[hn::MaxLanes(D())];
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) lanes[i] = f16_to_float(from[i].bits);
  return hn::LoadU(d, lanes);
}

// Calls body(typed pointer) for a row of `type` that starts `at` elements into `data`.
template <class Body>
HWY_INLINE void with_type(void* data, DType type, Index at, Body&& body) {
  if (type == DType::f32) return body(static_cast<float*>(data) + at);
  if (type == DType::bf16) return body(static_cast<Bf16*>(data) + at);
  RR_CHECK(type == DType::f16, "rows of type ", name_of(type));
  body(static_cast<F16*>(data) + at);
}
template <class Body>
HWY_INLINE void with_type(const void* data, DType type, Index at, Body&& body) {
  with_type(const_cast<void*>(data), type, at, [&](const auto* from) { body(from); });
}

// The same for a row of products or of their operands: a CPU multiplies fp32 and bf16.
template <class Body>
HWY_INLINE void with_operand_type(void* data, DType type, Body&& body) {
  if (type == DType::f32) return body(static_cast<float*>(data));
  RR_CHECK(type == DType::bf16, "operands of type ", name_of(type));
  body(static_cast<Bf16*>(data));
}
template <class Body>
HWY_INLINE void with_operand_type(const void* data, DType type, Body&& body) {
  with_operand_type(const_cast<void*>(data), type, [&](const auto* from) { body(from); });
}

// exp(x) for x <= 0, within 1 ulp; 0 for -infinity, NaN for NaN (hn::Exp gives 0 there).
template <class D, class V>
HWY_INLINE V exp_negative(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, x));
}

// 1 / (1 + exp(-x)), to a relative accuracy of a few 1e-7 on either side of zero.
template <class D, class V>
HWY_INLINE V sigmoid(D d, V x) {
  const auto one = hn::Set(d, 1.0f);
  const auto z = exp_negative(d, hn::Neg(hn::Abs(x)));
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), z, one), hn::Add(one, z));
}

template <class D, class V>
HWY_INLINE float sum_lanes(D d, V x) {
  return hn::GetLane(hn::SumOfLanes(d, x));
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
