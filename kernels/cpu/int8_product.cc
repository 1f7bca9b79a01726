#include "kernels/cpu/int8_product.h"

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_product.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

constexpr Index kMostRows = 6;    // of x at once: their sums stay in registers
constexpr Index kExactColumns = 512;  // 512 * 255 * 127 < 2^24
static_assert(kExactColumns * 255 * 127 < (1 << 24));

// Sums over `k` columns for kRows rows of x, given as fp32 [k][kMostRows], and one vector of a block's columns.
template <Index kRows, class D>
HWY_INLINE void add_columns(D d, const float* x, Index k, const std::int8_t* w, Index columns, bool first,
                            std::int32_t* sums, Index sums_stride) {
  const hn::Rebind<std::int32_t, D> di;
  const hn::Rebind<std::int8_t, D> d8;
  hn::Vec<D> sum[kRows];
  for (Index r = 0; r < kRows; ++r) sum[r] = hn::Zero(d);
  for (Index i = 0; i < k; ++i) {
    const auto weight = hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d8, w + i * kInt8Block)));
    for (Index r = 0; r < kRows; ++r) sum[r] = hn::MulAdd(hn::Set(d, x[i * kMostRows + r]), weight, sum[r]);
  }
  HWY_ALIGN std::int32_t lanes[hn::MaxLanes(d)];
  for (Index r = 0; r < kRows; ++r) {
    hn::Store(hn::ConvertTo(di, sum[r]), di, lanes);
    for (Index n = 0; n < columns; ++n) {
      std::int32_t& to = sums[r * sums_stride + n];
      const auto before = first ? 0u : static_cast<std::uint32_t>(to);
      to = static_cast<std::int32_t>(before + static_cast<std::uint32_t>(lanes[n]));
    }
  }
}

template <Index kRows>
void multiply_rows(const std::uint8_t* x, Index k, const std::int8_t* w, Index columns, std::int32_t* sums) {
  const hn::CappedTag<float, kInt8Block> d;
  const Index lanes = hn::Lanes(d);
  float widened[kExactColumns * kMostRows];
  for (Index begin = 0; begin < k; begin += kExactColumns) {
    const Index count = std::min(kExactColumns, k - begin);
    for (Index r = 0; r < kRows; ++r) {
      for (Index i = 0; i < count; ++i) widened[i * kMostRows + r] = static_cast<float>(x[r * k + begin + i]);
    }
    for (Index n = 0; n < columns; n += lanes) {
      const std::int8_t* const at = w + n / kInt8Block * kInt8Block * k + begin * kInt8Block + n % kInt8Block;
      add_columns<kRows>(d, widened, count, at, std::min(lanes, columns - n), begin == 0, sums + n, columns);
    }
  }
}

void multiply(const std::uint8_t* x, Index rows, Index k, const std::int8_t* w, Index columns, std::int32_t* sums) {
  Index m = 0;
  for (; m + kMostRows <= rows; m += kMostRows) multiply_rows<kMostRows>(x + m * k, k, w, columns, sums + m * columns);
  for (; m + 2 <= rows; m += 2) multiply_rows<2>(x + m * k, k, w, columns, sums + m * columns);
  for (; m < rows; ++m) multiply_rows<1>(x + m * k, k, w, columns, sums + m * columns);
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {
HWY_EXPORT(multiply);
}  // namespace

void int8_product(const std::uint8_t* x, Index rows, Index k, const std::int8_t* w, Index columns, std::int32_t* sums) {
  HWY_DYNAMIC_DISPATCH(multiply)(x, rows, k, w, columns, sums);
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
