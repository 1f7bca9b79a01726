// Tiles of products with a BlockMatrix: a few rows times a few blocks, whose sums stay in registers.

// Included once per target: no plain include guard (see hwy/foreach_target.h).
#if defined(RIVERRUN_KERNELS_CPU_BLOCK_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RIVERRUN_KERNELS_CPU_BLOCK_TILE_INL_H_
#undef RIVERRUN_KERNELS_CPU_BLOCK_TILE_INL_H_
#else
#define RIVERRUN_KERNELS_CPU_BLOCK_TILE_INL_H_
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <type_traits>

#include "kernels/cpu/block_matrix.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

#if HWY_MAX_BYTES == 64
// Where each byte of a column of fp32 is in a register with 8 pairs of bf16 in either half: as TableLookupBytesOr0 takes it, by 16 bytes.
constexpr std::array<std::uint8_t, 64> kHalvesOfPairs = [] {
  std::array<std::uint8_t, 64> from = {};
  for (std::size_t i = 0; i < 64; i += 4) {
    const std::size_t bf16 = i % 16 + (i < 32 ? 0 : 2);
    from[i] = from[i + 1] = 0x80;  // none
    from[i + 2] = static_cast<std::uint8_t>(bf16), from[i + 3] = static_cast<std::uint8_t>(bf16 + 1);
  }
  return from;
}();
#endif

using Lanes = hn::CappedTag<float, kBlockRows>;
using Vector = hn::Vec<Lanes>;
constexpr Index kVectors = kBlockRows / Index{hn::MaxLanes(Lanes())};  // of a column of a block

// Blocks that the sums of kTileRows rows have registers for: AVX-512 has 32, of a whole column each, AVX2 half of them of half a column.
constexpr Index kTileBlocks = kVectors == 1 ? 4 : 1;
constexpr Index kFewRows = 2;  // wait for the memory, whose streams the processor foresees

// What a column of a block consists of (Stored): float, F16, or
struct RowPair {
  std::uint32_t bits;
};
struct ColumnPair {
  std::uint32_t bits;
};
struct ColumnQuad {
  std::uint32_t bits;
};
template <class W>
constexpr Index kColumn = std::is_same_v<W, RowPair> ? kBlockRows / 2 : kBlockRows;
// and what of a row of x it is multiplied by: a float, or
struct FactorPair {
  std::uint16_t lower, upper;  // bf16
};
struct FactorQuad {
  std::uint8_t bytes[4];
};
template <class W>
using Factor = std::conditional_t<std::is_same_v<W, ColumnPair>, FactorPair, std::conditional_t<std::is_same_v<W, ColumnQuad>, FactorQuad, float>>;

HWY_INLINE void load_column(const float* w, Vector (&v)[kVectors]) {
  unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { v[i] = hn::LoadU(Lanes(), w + i * hn::MaxLanes(Lanes())); });
}
HWY_INLINE void load_column(const F16* w, Vector (&v)[kVectors]) {
  const hn::Rebind<hwy::float16_t, Lanes> d16;
  unrolled<kVectors>([&](auto i) RIVERRUN_INLINE {
    v[i] = hn::PromoteTo(Lanes(), hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(w) + i * hn::MaxLanes(Lanes())));
  });
}
HWY_INLINE void load_column(const RowPair* row_pairs, Vector (&v)[kVectors]) {
  const auto* const w = &row_pairs->bits;
#if HWY_MAX_BYTES == 64
  // All pairs in both halves of the register, without a shuffle; then their lower bf16 in one half and their upper ones in the other.
  const hn::CappedTag<std::uint8_t, 64> bytes;
  const decltype(hn::Zero(bytes)) pairs{_mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)))};
  v[0] = hn::BitCast(Lanes(), hn::TableLookupBytesOr0(pairs, hn::LoadU(bytes, kHalvesOfPairs.data())));
#else
  const hn::RebindToUnsigned<Lanes> du;
  unrolled<kVectors / 2>([&](auto i) RIVERRUN_INLINE {
    const auto pairs = hn::LoadU(du, w + i * hn::MaxLanes(Lanes()));
    v[i] = hn::BitCast(Lanes(), hn::ShiftLeft<16>(pairs));
    v[i + kVectors / 2] = hn::BitCast(Lanes(), hn::And(pairs, hn::Set(du, 0xffff0000u)));
  });
#endif
}

// x, and sum + x * w, in every lane.
HWY_INLINE Vector broadcast(float x) { return hn::Set(Lanes(), x); }
template <class W>
HWY_INLINE Vector add_product(Vector sum, Vector x, Vector w) {
  return hn::MulAdd(x, w, sum);
}

// Whether tiles can be of columns of this kind, if the processor has the instruction.
template <class W>
constexpr bool kMultiplies = !(std::is_same_v<W, ColumnPair> || std::is_same_v<W, ColumnQuad>);

#if HWY_ARCH_X86 && HWY_MAX_BYTES >= 32
template <>
constexpr bool kMultiplies<ColumnPair> = HWY_MAX_BYTES == 64;
template <>
constexpr bool kMultiplies<ColumnQuad> = true;
// Whatever they hold, sums and columns pass for vectors of floats.
template <class W>
  requires(std::is_same_v<W, ColumnPair> || std::is_same_v<W, ColumnQuad>)
HWY_INLINE void load_column(const W* w, Vector (&v)[kVectors]) {
  unrolled<kVectors>([&](auto i) RIVERRUN_INLINE {
    v[i] = hn::BitCast(Lanes(), hn::LoadU(hn::RebindToUnsigned<Lanes>(), &w->bits + i * hn::MaxLanes(Lanes())));
  });
}
template <class F>
  requires(std::is_same_v<F, FactorPair> || std::is_same_v<F, FactorQuad>)
HWY_INLINE Vector broadcast(F x) {
  return hn::BitCast(Lanes(), hn::Set(hn::RebindToUnsigned<Lanes>(), std::bit_cast<std::uint32_t>(x)));
}
// In assembler: Highway 1.0 does not have them, and a compiler's cannot be inlined into tiles that are compiled for AVX-512 alone.
template <>
HWY_INLINE Vector add_product<ColumnQuad>(Vector sum, Vector x, Vector w) {  // x without a sign
#if HWY_MAX_BYTES == 64
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(x.raw), "v"(w.raw));
#else
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(x.raw), "x"(w.raw));  // as AVX-VNNI has it
#endif
  return sum;
}
#if HWY_MAX_BYTES == 64
template <>
HWY_INLINE Vector add_product<ColumnPair>(Vector sum, Vector x, Vector w) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "v"(x.raw));
  return sum;
}
#endif
#endif

// With AVX-512 a tile's blocks do not fit into the L1 cache, and those of the next one would only push them out of it: into L2, as
// __builtin_prefetch counts.
constexpr int kFetchInto = kVectors == 1 ? 2 : 3;

// What is to come from memory while a tile is multiplied: so many blocks from `at` on, of which a column has column_bytes.
struct Fetch {
  const std::byte* at = nullptr;
  Index blocks = 0, block_bytes = 0, column_bytes = 0;
};

// A part of a product: x [rows, depth], rows x_stride apart, times `blocks` blocks of W, block_size elements apart, is added to sums. Distances
// and depth of x are in factors.
template <class W>
struct Part {
  const Factor<W>* x;
  Index x_stride, depth;
  const W* w;
  Index block_size, blocks;
  float* sums;  // rows sums_stride apart
  Index sums_stride;
};

// kRows rows times kBlocks blocks, whose sums stay in registers. Meanwhile kFetch blocks come from memory.
template <Index kRows, Index kBlocks, Index kFetch, class W>
HWY_NOINLINE void add_tile(const Part<W>& part, const Fetch& fetch) {
  constexpr Index kLanes = hn::MaxLanes(Lanes());
  const Factor<W>* const x = part.x;
  const Index x_stride = part.x_stride, block_size = part.block_size;
  Vector sum[kRows][kBlocks][kVectors];
  const auto each = [&](auto body) RIVERRUN_INLINE {
    unrolled<kRows>([&](auto r) RIVERRUN_INLINE {
      unrolled<kBlocks>([&](auto b) RIVERRUN_INLINE {
        unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { body(sum[r][b][i], part.sums + r * part.sums_stride + b * kBlockRows + i * kLanes); });
      });
    });
  };
  each([](Vector& v, const float* at) RIVERRUN_INLINE { v = hn::LoadU(Lanes(), at); });
  const W* w = part.w;
  const std::byte* next = fetch.at;
  for (Index k = 0; k < part.depth; ++k, w += kColumn<W>) {
    unrolled<kFetch>([&](auto b) RIVERRUN_INLINE { __builtin_prefetch(next + b * fetch.block_bytes, 0, kFetchInto); });
    if constexpr (kFetch > 0) next += fetch.column_bytes;
    unrolled<kBlocks>([&](auto b) RIVERRUN_INLINE {
      Vector weights[kVectors];
      load_column(w + b * block_size, weights);
      unrolled<kRows>([&](auto r) RIVERRUN_INLINE {
        const auto factor = broadcast(x[r * x_stride + k]);
        unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { sum[r][b][i] = add_product<W>(sum[r][b][i], factor, weights[i]); });
      });
    });
  }
  each([](const Vector& v, float* at) RIVERRUN_INLINE { hn::StoreU(v, Lanes(), at); });
}

// kRows rows times up to kBlocks blocks; fewer in tiles that are half as wide.
template <Index kRows, Index kBlocks, class W>
void add_rows(const Part<W>& part, const Fetch& fetch) {
  if (part.blocks == kBlocks) {
    if constexpr (kRows > kFewRows && kBlocks == kTileBlocks) {
      if (fetch.blocks == kBlocks) return add_tile<kRows, kBlocks, kBlocks>(part, fetch);
      if constexpr (kBlocks > 2) {
        if (fetch.blocks >= 2) return add_tile<kRows, kBlocks, 2>(part, fetch);
      }
      if (fetch.blocks > 0) return add_tile<kRows, kBlocks, 1>(part, fetch);
    }
    add_tile<kRows, kBlocks, 0>(part, fetch);
  } else if constexpr (kBlocks > 1) {
    constexpr Index kHalf = kBlocks / 2;
    for (Index b = 0; b < part.blocks; b += kHalf) {
      Part<W> half = part;
      half.w += b * part.block_size, half.sums += b * kBlockRows, half.blocks = std::min(kHalf, part.blocks - b);
      add_rows<kRows, kHalf>(half, fetch);
    }
  }
}

// Blocks of a tile: sums enough to keep the multipliers busy, and no more than there are registers for.
constexpr Index tile_blocks(Index rows) { return std::max<Index>(rows == 1 ? 4 : rows == 2 ? 2 : 1, kTileBlocks); }

// `blocks` blocks of `depth` columns, block_size elements apart, as fp32.
template <class W>
void widen(const W* w, Index block_size, Index blocks, Index depth, float* to) {
  for (Index b = 0; b < blocks; ++b) {
    for (Index k = 0; k < depth; ++k, to += kBlockRows) {
      Vector column[kVectors];
      load_column(w + b * block_size + k * kColumn<W>, column);
      unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { hn::StoreU(column[i], Lanes(), to + i * hn::MaxLanes(Lanes())); });
    }
  }
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
