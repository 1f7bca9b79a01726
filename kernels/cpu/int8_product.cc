#include "kernels/cpu/int8_product.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_product.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

using Lanes = hn::CappedTag<std::int32_t, kBlockRows / 2>;
using Sums = hn::Vec<Lanes>;
constexpr Index kLanes = hn::MaxLanes(Lanes());
constexpr Index kVectors = kBlockRows / kLanes;  // of a block's sums

// For kLanes rows of W: pairs of weights times one pair of x, the halves of 32 bits. Where an instruction does not add the two products,
// they are in two sums until they are all there.
struct Pairs {
#if HWY_TARGET == HWY_SCALAR
  Sums sum;
  HWY_INLINE Pairs() {}
  HWY_INLINE void clear() { sum = hn::Zero(Lanes()); }
  HWY_INLINE void add(std::uint32_t x, const std::int8_t* w) {
    const auto product = [](std::uint32_t a, std::int8_t b) { return a * static_cast<std::uint32_t>(std::int32_t{b}); };
    const auto before = static_cast<std::uint32_t>(hn::GetLane(sum));
    sum = hn::Set(Lanes(), static_cast<std::int32_t>(before + product(x & 0xffffu, w[0]) + product(x >> 16, w[1])));
  }
  HWY_INLINE Sums total() const { return sum; }
#else
  Sums sum, odd;
  HWY_INLINE Pairs() {}  // one that the compiler makes is for no target
  HWY_INLINE void clear() { sum = odd = hn::Zero(Lanes()); }
  HWY_INLINE void add(std::uint32_t x, const std::int8_t* w) {
    const hn::Repartition<std::int16_t, Lanes> d16;
    const hn::Rebind<std::int8_t, decltype(d16)> d8;
    const auto factor = hn::BitCast(d16, hn::Set(Lanes(), static_cast<std::int32_t>(x)));
    sum = hn::ReorderWidenMulAccumulate(Lanes(), hn::PromoteTo(d16, hn::LoadU(d8, w)), factor, sum, odd);
  }
  HWY_INLINE Sums total() const { return hn::RearrangeToOddPlusEven(sum, odd); }
#endif
};

// sums [kRows, columns] of kBlocks blocks: x as pairs, rows x_stride pairs apart.
template <Index kRows, Index kBlocks>
HWY_NOINLINE void multiply_tile(const std::uint32_t* x, Index x_stride, Index pairs, const std::int8_t* w, Index columns, std::int32_t* sums,
                                Index sums_stride) {
  Pairs sum[kRows][kBlocks][kVectors];
  // Not by a constructor: what a loop over an array writes stays in memory.
  unrolled<kRows>([&](auto r) RIVERRUN_INLINE {
    unrolled<kBlocks>([&](auto b) RIVERRUN_INLINE { unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { sum[r][b][i].clear(); }); });
  });
  const Index block = 2 * kBlockRows * pairs;
  for (Index k = 0; k < pairs; ++k) {
    unrolled<kBlocks>([&](auto b) RIVERRUN_INLINE {
      unrolled<kRows>([&](auto r) RIVERRUN_INLINE {
        unrolled<kVectors>([&](auto i) RIVERRUN_INLINE {
          sum[r][b][i].add(x[r * x_stride + k], w + b * block + (k * kBlockRows + i * kLanes) * 2);
        });
      });
    });
  }
  unrolled<kRows>([&](auto r) RIVERRUN_INLINE {
    HWY_ALIGN std::int32_t whole[kBlocks * kBlockRows];
    unrolled<kBlocks>([&](auto b) RIVERRUN_INLINE {
      unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { hn::StoreU(sum[r][b][i].total(), Lanes(), whole + b * kBlockRows + i * kLanes); });
    });
    std::copy_n(whole, columns, sums + r * sums_stride);
  });
}

// What a tile of that many rows has: sums enough to keep the multipliers busy, and no more than there are registers for.
void multiply(const std::uint32_t* x, Index rows, Index pairs, const std::int8_t* w, Index columns, std::int32_t* sums) {
  const auto by = [&](auto kRows, auto kBlocks, Index m) RIVERRUN_INLINE {
    constexpr Index kColumns = kBlocks * kBlockRows;
    for (Index n = 0; n < columns; n += kColumns) {
      const std::int8_t* const at = w + n * 2 * pairs;
      std::int32_t* const to = sums + m * columns + n;
      if (n + kColumns - kBlockRows < columns) {
        multiply_tile<kRows, kBlocks>(x + m * pairs, pairs, pairs, at, std::min(kColumns, columns - n), to, columns);
        continue;
      }
      for (Index rest = 0; n + rest < columns; rest += kBlockRows) {
        multiply_tile<kRows, 1>(x + m * pairs, pairs, pairs, at + rest * 2 * pairs, std::min(kBlockRows, columns - n - rest), to + rest, columns);
      }
    }
  };
  using std::integral_constant;
  Index m = 0;
#if HWY_TARGET == HWY_SCALAR  // no vectors, whose sums would fit no registers
  for (; m < rows; ++m) by(integral_constant<Index, 1>(), integral_constant<Index, 1>(), m);
#else
  for (; m + 6 <= rows; m += 6) by(integral_constant<Index, 6>(), integral_constant<Index, 1>(), m);
  for (; m + 4 <= rows; m += 4) by(integral_constant<Index, 4>(), integral_constant<Index, 1>(), m);
  for (; m + 2 <= rows; m += 2) by(integral_constant<Index, 2>(), integral_constant<Index, 2>(), m);
  if (m < rows) by(integral_constant<Index, 1>(), integral_constant<Index, 4>(), m);
#endif
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {
HWY_EXPORT(multiply);
}  // namespace

void int8_product(const std::uint8_t* x, Index rows, Index k, const std::int8_t* w, Index columns, std::int32_t* sums) {
  thread_local Buffer scratch;
  const Index pairs = (k + 1) / 2;
  std::uint32_t* const paired = grown<std::uint32_t>(scratch, rows * pairs);
  for (Index m = 0; m < rows; ++m) {
    for (Index i = 0; i < k / 2; ++i) paired[m * pairs + i] = x[m * k + 2 * i] | std::uint32_t{x[m * k + 2 * i + 1]} << 16;
    if (k % 2 != 0) paired[m * pairs + pairs - 1] = x[m * k + k - 1];
  }
  HWY_DYNAMIC_DISPATCH(multiply)(paired, rows, pairs, w, columns, sums);
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
