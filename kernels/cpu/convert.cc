#include "kernels/cpu/convert.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

void relu_squared_row(const float* x, Index size, void* y, DType y_type) {
  with_lanes(size, [&](auto d) {
    with_type(y, y_type, 0, [&](auto* to) {
      const Index lanes = hn::Lanes(d);
      for (Index i = 0; i < size; i += lanes) {
        const auto value = hn::LoadU(d, x + i);
        const auto kept = hn::IfThenElse(hn::Lt(value, hn::Zero(d)), hn::Zero(d), value);
        store(d, hn::Mul(kept, kept), to + i);
      }
    });
  });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(relu_squared_row);

template <class From, class To>
To convert(From value) {
  if constexpr (std::is_same_v<From, To>) {
    return value;
  } else if constexpr (std::is_same_v<To, float>) {
    return bf16_to_float(value);
  } else {
    return float_to_bf16(value);
  }
}

// In tiles of columns, so that a source stored [cols, rows] is read whole cache lines at a time.
constexpr Index kTile = 64;

template <class To, class Load>
void gather(const MatrixSource& source, Index first, Index count, To* dense, Load&& load) {
  for (Index k0 = 0; k0 < source.cols; k0 += kTile) {
    const Index k1 = std::min(source.cols, k0 + kTile);
    for (Index n = 0; n < count; ++n) {
      const Index row = (first + n) * source.row_stride;
      for (Index k = k0; k < k1; ++k) dense[n * source.cols + k] = load(row + k * source.col_stride);
    }
  }
}

template <class To>
void gather_as(const MatrixSource& source, Index first, Index count, To* dense) {
  using Bits = std::uint16_t;
  switch (source.type) {
    case DType::f32: {
      const auto* from = static_cast<const float*>(source.data);
      return gather(source, first, count, dense, [=](Index at) { return convert<float, To>(from[at]); });
    }
    case DType::bf16: {
      const auto* from = static_cast<const Bits*>(source.data);
      return gather(source, first, count, dense, [=](Index at) { return convert<Bits, To>(from[at]); });
    }
    case DType::f16: {
      const auto* from = static_cast<const Bits*>(source.data);
      return gather(source, first, count, dense,
                    [=](Index at) { return convert<float, To>(f16_to_float(from[at])); });
    }
    default:
      RR_CHECK(false, "weights of type ", name_of(source.type));
  }
}

}  // namespace

void gather_rows(const MatrixSource& source, Index first, Index count, DType type, void* dense) {
  if (type == DType::f32) return gather_as(source, first, count, static_cast<float*>(dense));
  auto* const bits = static_cast<std::uint16_t*>(dense);
  if (type == DType::bf16) return gather_as(source, first, count, bits);
  RR_CHECK(type == DType::f16 && source.type == type, name_of(source.type), " as ", name_of(type));
  const auto* from = static_cast<const std::uint16_t*>(source.data);
  gather(source, first, count, bits, [=](Index at) { return from[at]; });
}

void relu_squared(const float* x, Index size, void* y, DType y_type) {
  HWY_DYNAMIC_DISPATCH(relu_squared_row)(x, size, y, y_type);
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
