// Products with a BlockMatrix.
#include <algorithm>
#include <type_traits>

#include "core/thread_pool.h"
#include "kernels/cpu/block_matrix.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/block_product.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/epilogue-inl.h"

#ifndef RIVERRUN_KERNELS_CPU_BLOCK_SLAB_
#define RIVERRUN_KERNELS_CPU_BLOCK_SLAB_
namespace riverrun::kernels::cpu {
// Rows and columns of y that a task computes, and what it needs for them.
struct BlockSlab {
  Index rows, k;
  const float* x;  // [rows, k], rows x_stride apart
  Index x_stride;
  const std::byte* w;  // the block of the first column
  Index blocks;
  DType stored;
  float* sums;     // [rows, blocks * kBlockRows], scratch
  float* widened;  // kMostWidened, scratch
  Index columns;
  void* y;  // [rows, columns] of y_type, rows y_stride apart
  Index y_stride;
  DType y_type;
  Epilogue epilogue;
};
inline constexpr Index kGroupRows = 6;  // of x, whose sums with the blocks of a tile stay in registers
inline constexpr Index kMostWidened = 1024 * 2 * kBlockRows;  // floats
}  // namespace riverrun::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

using Lanes = hn::CappedTag<float, kBlockRows>;
using Vector = hn::Vec<Lanes>;
constexpr Index kVectors = kBlockRows / Index{hn::MaxLanes(Lanes())};  // of a column of a block

// Blocks that the sums of kGroupRows rows have registers for: AVX-512 has 32, of a whole column each, AVX2 half of them of half a column.
constexpr Index kGroupBlocks = kVectors == 1 ? 4 : 1;
// Columns of W at once: those of a tile's blocks and of a task's rows of x then are 320 KiB of the L2 cache with AVX-512, where two
// threads may share one, and 448 KiB elsewhere. Loaded and stored in between, a sum stays what it is: the depth changes no bit.
constexpr Index kDepth = kVectors == 1 ? 512 : 1024;
static_assert(kDepth * kGroupBlocks * kBlockRows <= kMostWidened);

// Elements of a column of a block, of either type.
template <class W>
constexpr Index kColumn = std::is_same_v<W, float> ? kBlockRows : kBlockRows / 2;

HWY_INLINE void load_column(const float* w, Vector (&v)[kVectors]) {
  unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { v[i] = hn::LoadU(Lanes(), w + i * hn::MaxLanes(Lanes())); });
}
HWY_INLINE void load_column(const std::uint32_t* pairs_of_bf16, Vector (&v)[kVectors]) {
  const hn::CappedTag<std::uint32_t, kBlockRows / 2> du;
  const auto lower = [](auto pairs) RIVERRUN_INLINE { return hn::ShiftLeft<16>(pairs); };
  const auto upper = [&](auto pairs) RIVERRUN_INLINE { return hn::And(pairs, hn::Set(du, 0xffff0000u)); };
#if HWY_MAX_BYTES == 64
  const auto pairs = hn::LoadU(du, pairs_of_bf16);
  v[0] = hn::BitCast(Lanes(), hn::Combine(hn::RebindToUnsigned<Lanes>(), upper(pairs), lower(pairs)));
#else
  unrolled<kVectors / 2>([&](auto i) RIVERRUN_INLINE {
    const auto pairs = hn::LoadU(du, pairs_of_bf16 + i * hn::MaxLanes(Lanes()));
    v[i] = hn::BitCast(Lanes(), lower(pairs));
    v[i + kVectors / 2] = hn::BitCast(Lanes(), upper(pairs));
  });
#endif
}

// sums [kRows, kBlocks * kBlockRows] += x w over `depth` columns of W. The sums stay in registers. With kFetch the blocks at `next` come
// into the cache meanwhile.
template <Index kRows, Index kBlocks, bool kFetch, class W>
HWY_NOINLINE void add_tile(const float* x, Index x_stride, Index depth, const W* w, Index block_size, const W* next, float* sums,
                           Index sums_stride) {
  constexpr Index kLanes = hn::MaxLanes(Lanes());
  Vector sum[kRows][kBlocks][kVectors];
  const auto each = [&](auto body) RIVERRUN_INLINE {
    unrolled<kRows>([&](auto r) RIVERRUN_INLINE {
      unrolled<kBlocks>([&](auto b) RIVERRUN_INLINE {
        unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { body(sum[r][b][i], sums + r * sums_stride + b * kBlockRows + i * kLanes); });
      });
    });
  };
  each([](Vector& v, const float* at) RIVERRUN_INLINE { v = hn::LoadU(Lanes(), at); });
  for (Index k = 0; k < depth; ++k) {
    unrolled<kBlocks>([&](auto b) RIVERRUN_INLINE {
      if constexpr (kFetch) __builtin_prefetch(next + b * block_size + k * kColumn<W>);
      Vector weights[kVectors];
      load_column(w + b * block_size + k * kColumn<W>, weights);
      unrolled<kRows>([&](auto r) RIVERRUN_INLINE {
        const auto factor = hn::Set(Lanes(), x[r * x_stride + k]);
        unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { sum[r][b][i] = hn::MulAdd(factor, weights[i], sum[r][b][i]); });
      });
    });
  }
  each([](const Vector& v, float* at) RIVERRUN_INLINE { hn::StoreU(v, Lanes(), at); });
}

// kRows rows times `blocks` blocks, kBlocks at a time. The next ones, of `fetchable` blocks from w on, are fetched where the rows compute for
// about as long as that takes.
template <Index kRows, Index kBlocks, class W>
void add_rows(const float* x, Index x_stride, Index depth, const W* w, Index block_size, Index blocks, Index fetchable, float* sums,
              Index sums_stride) {
  const auto tile = [&](Index b, auto kCount) RIVERRUN_INLINE {
    const Index next = std::min(b + kCount, fetchable - kCount);
    const auto add = [&](auto kFetch) RIVERRUN_INLINE {
      add_tile<kRows, kCount, kFetch>(x, x_stride, depth, w + b * block_size, block_size, w + (kFetch ? next : b) * block_size, sums + b * kBlockRows,
                                      sums_stride);
    };
    if constexpr (kRows > 2) {
      if (next > b) return add(std::true_type());
    }
    add(std::false_type());
  };
  Index b = 0;
  for (; b + kBlocks <= blocks; b += kBlocks) tile(b, std::integral_constant<Index, kBlocks>());
  for (; b < blocks; ++b) tile(b, std::integral_constant<Index, 1>());
}

// Rows in groups of nearly the same size; the blocks of a tile stay in cache for all of them. A tile has sums enough to keep the multipliers
// busy, and no more than there are registers for.
template <class W>
void add_groups(const BlockSlab& slab, Index k, Index depth, const W* w, Index block_size, Index first_block, Index blocks, bool from_memory) {
  const Index groups = (slab.rows + kGroupRows - 1) / kGroupRows, stride = slab.blocks * kBlockRows;
  const Index most_at_once = groups == 1 ? blocks : kGroupBlocks;
  for (Index b = 0; b < blocks; b += most_at_once) {
    const Index at_once = std::min(most_at_once, blocks - b);
    for (Index group = 0; group < groups; ++group) {
      const Index m = slab.rows * group / groups, rows = slab.rows * (group + 1) / groups - m;
      const float* const x = slab.x + m * slab.x_stride + k;
      float* const sums = slab.sums + m * stride + (first_block + b) * kBlockRows;
      const Index fetchable = from_memory && group == 0 ? blocks - b : 0;
      const auto by = [&](auto add) { add(x, slab.x_stride, depth, w + b * block_size, block_size, at_once, fetchable, sums, stride); };
      switch (rows) {
        case 1: by(add_rows<1, 4, W>); break;
        case 2: by(add_rows<2, std::max<Index>(2, kGroupBlocks), W>); break;
        case 3: by(add_rows<3, kGroupBlocks, W>); break;
        case 4: by(add_rows<4, kGroupBlocks, W>); break;
        case 5: by(add_rows<5, kGroupBlocks, W>); break;
        default: by(add_rows<6, kGroupBlocks, W>);
      }
    }
  }
}

void widen(const std::uint32_t* w, Index depth, float* to) {
  for (Index k = 0; k < depth; ++k) {
    Vector column[kVectors];
    load_column(w + k * kColumn<std::uint32_t>, column);
    unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { hn::StoreU(column[i], Lanes(), to + k * kBlockRows + i * hn::MaxLanes(Lanes())); });
  }
}

template <class W>
void add_columns(const BlockSlab& slab, Index k, Index depth) {
  constexpr Index kLeastWidened = 18;  // rows that use a weight, for it to be worth a store and a load
  const auto* const w = reinterpret_cast<const W*>(slab.w) + k * kColumn<W>;
  const Index size = slab.k * kColumn<W>;
  if constexpr (!std::is_same_v<W, float>) {
    if (slab.rows >= kLeastWidened) {
      for (Index b = 0; b < slab.blocks; b += kGroupBlocks) {
        const Index blocks = std::min(kGroupBlocks, slab.blocks - b), widened_size = depth * kBlockRows;
        for (Index i = 0; i < blocks; ++i) widen(w + (b + i) * size, depth, slab.widened + i * widened_size);
        add_groups(slab, k, depth, slab.widened, widened_size, b, blocks, false);
      }
      return;
    }
  }
  add_groups(slab, k, depth, w, size, 0, slab.blocks, true);
}

void add_slab(const BlockSlab& slab) {
  std::fill_n(slab.sums, slab.rows * slab.blocks * kBlockRows, 0.0f);
  for (Index k = 0; k < slab.k; k += kDepth) {
    const Index depth = std::min(kDepth, slab.k - k);
    if (slab.stored == DType::f32) add_columns<float>(slab, k, depth);
    else add_columns<std::uint32_t>(slab, k, depth);
  }
}

void widen_rows(const void* x, Index x_stride, Index rows, Index k, float* to) {
  with_lanes(k, [&](auto d) {
    for (Index m = 0; m < rows; ++m) {
      const auto* from = static_cast<const Bf16*>(x) + m * x_stride;
      for (Index i = 0; i < k; i += hn::Lanes(d)) hn::StoreU(load(d, from + i), d, to + m * k + i);
    }
  });
}

void multiply_slab(const BlockSlab& slab) {
  add_slab(slab);
  const Index stride = slab.blocks * kBlockRows;
  with_lanes(slab.columns, [&](auto d) {
    with_operand_type(slab.y, slab.y_type, [&](auto* y) {
      with_epilogue(d, slab.epilogue, [&](auto apply) {
        for (Index m = 0; m < slab.rows; ++m) {
          for (Index n = 0; n < slab.columns; n += hn::Lanes(d)) {
            store(d, apply(hn::LoadU(d, slab.sums + m * stride + n)), y + m * slab.y_stride + n);
          }
        }
      });
    });
  });
}

void multiply_slab_and_add(const BlockSlab& slab) {
  add_slab(slab);
  const Index stride = slab.blocks * kBlockRows;
  with_lanes(slab.columns, [&](auto d) {
    for (Index m = 0; m < slab.rows; ++m) {
      float* const y = static_cast<float*>(slab.y) + m * slab.y_stride;
      for (Index n = 0; n < slab.columns; n += hn::Lanes(d)) {
        hn::StoreU(hn::Add(hn::LoadU(d, y + n), hn::LoadU(d, slab.sums + m * stride + n)), d, y + n);
      }
    }
  });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(multiply_slab);
HWY_EXPORT(multiply_slab_and_add);
HWY_EXPORT(widen_rows);

constexpr Index kMostPanelRows = 96;
constexpr Index kMostBlocks = 16, kLeastBlocks = 4;

// Blocks of W in a task: few enough for every thread to have two tasks.
Index blocks_of_a_task(const BlockMatrix& w, Index M, Index panels, int threads) {
  if (threads == 1 || is_for_one_thread(M, w.rows(), w.cols(), w.bytes())) return std::min(kMostBlocks, w.blocks());
  const Index slabs = ceil_div(2 * threads, panels);
  return std::clamp(ceil_div(w.blocks(), slabs), std::min(kLeastBlocks, w.blocks()), std::min(kMostBlocks, w.blocks()));
}

}  // namespace

void block_product(const BlockMatrix& w, const MatmulArgs& args, Index x_stride, ThreadPool& pool) {
  const Index N = w.rows(), panels = ceil_div(args.M, kMostPanelRows), groups = ceil_div(args.M, kGroupRows);
  const Index blocks = blocks_of_a_task(w, args.M, panels, pool.threads()), slabs = ceil_div(w.blocks(), blocks);
  pool.run(slabs * panels, [&](Index task, int) {
    thread_local Buffer scratch;
    const Index panel = task % panels, first = task / panels * blocks;
    const Index row = groups * panel / panels * kGroupRows, rows = std::min(args.M, groups * (panel + 1) / panels * kGroupRows) - row;
    const Index count = std::min(blocks, w.blocks() - first), column = first * kBlockRows;
    constexpr Index kMostSums = kMostPanelRows * kMostBlocks * kBlockRows;
    const bool narrow = w.type() == DType::bf16;
    float* const sums = grown<float>(scratch, kMostSums + kMostWidened + (narrow ? rows * w.cols() : 0));
    const auto* const from = static_cast<const std::byte*>(args.x) + row * x_stride * size_of(w.type());
    float* const wide = sums + kMostSums + kMostWidened;
    if (narrow) HWY_DYNAMIC_DISPATCH(widen_rows)(from, x_stride, rows, w.cols(), wide);
    const BlockSlab slab = {rows, w.cols(), narrow ? wide : reinterpret_cast<const float*>(from), narrow ? w.cols() : x_stride,
              w.block(first), count, w.stored(), sums, sums + kMostSums, std::min(count * kBlockRows, N - column),
              static_cast<std::byte*>(args.y) + (row * N + column) * size_of(args.y_type), N, args.y_type, args.epilogue};
    if (args.epilogue == Epilogue::add) HWY_DYNAMIC_DISPATCH(multiply_slab_and_add)(slab);
    else HWY_DYNAMIC_DISPATCH(multiply_slab)(slab);
  });
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
