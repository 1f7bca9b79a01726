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
  float* sums;    // [rows, blocks * kBlockRows], scratch
  float* widened;  // [kDepth, kBlockRows], scratch
  Index columns;
  void* y;  // [rows, columns] of y_type, rows y_stride apart
  Index y_stride;
  DType y_type;
  Epilogue epilogue;
};
// Columns of W at once: a block's then are 64 KiB of fp32, and those of a task's rows of x stay in the L2 cache. Loaded and stored in
// between, a sum stays what it is: the depth changes no bit.
inline constexpr Index kDepth = 1024;
inline constexpr Index kGroupRows = 6;  // of x, whose sums with a block stay in AVX2's registers
}  // namespace riverrun::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

using Lanes = hn::CappedTag<float, kBlockRows / 2>;
using Vector = hn::Vec<Lanes>;
constexpr Index kVectors = kBlockRows / Index{hn::MaxLanes(Lanes())};  // of a column of a block

// Elements of a column of a block, of either type.
template <class W>
constexpr Index kColumn = std::is_same_v<W, float> ? kBlockRows : kBlockRows / 2;

HWY_INLINE void load_column(const float* w, Vector (&v)[kVectors]) {
  unrolled<kVectors>([&](auto i) RIVERRUN_INLINE { v[i] = hn::LoadU(Lanes(), w + i * hn::MaxLanes(Lanes())); });
}
HWY_INLINE void load_column(const std::uint32_t* pairs_of_bf16, Vector (&v)[kVectors]) {
  const hn::RebindToUnsigned<Lanes> du;
  unrolled<kVectors / 2>([&](auto i) RIVERRUN_INLINE {
    const auto pairs = hn::LoadU(du, pairs_of_bf16 + i * hn::MaxLanes(Lanes()));
    v[i] = hn::BitCast(Lanes(), hn::ShiftLeft<16>(pairs));
    v[i + kVectors / 2] = hn::BitCast(Lanes(), hn::And(pairs, hn::Set(du, 0xffff0000u)));
  });
}

// sums [kRows, kBlocks * kBlockRows] += x w over `depth` columns of W. The sums stay in registers. A tile of one block has rows enough
// to compute for as long as a block takes to come from memory: meanwhile it has the one at `next` come.
template <Index kRows, Index kBlocks, class W>
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
    if constexpr (kBlocks == 1) __builtin_prefetch(next + k * kColumn<W>);
    unrolled<kBlocks>([&](auto b) RIVERRUN_INLINE {
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

// What a tile of that many rows has: sums enough to keep the multipliers busy, and no more than there are registers for. `last`: the
// last block of all.
template <class W>
void add_rows(Index rows, const float* x, Index x_stride, Index depth, const W* w, Index block_size, Index blocks, const W* last,
              float* sums, Index sums_stride) {
  const auto by = [&](auto kRows, auto kBlocks) RIVERRUN_INLINE {
    Index b = 0;
    for (; b + kBlocks <= blocks; b += kBlocks) {
      const W* const at = w + b * block_size;
      const W* const next = last - at > kBlocks * block_size ? at + kBlocks * block_size : last;
      add_tile<kRows, kBlocks>(x, x_stride, depth, at, block_size, next, sums + b * kBlockRows, sums_stride);
    }
    for (; b < blocks; ++b) add_tile<kRows, 1>(x, x_stride, depth, w + b * block_size, block_size, last, sums + b * kBlockRows, sums_stride);
  };
  using std::integral_constant;
  switch (rows) {
    case 1: return by(integral_constant<Index, 1>(), integral_constant<Index, 4>());
    case 2: return by(integral_constant<Index, 2>(), integral_constant<Index, 2>());
    case 3: return by(integral_constant<Index, 3>(), integral_constant<Index, 1>());
    case 4: return by(integral_constant<Index, 4>(), integral_constant<Index, 1>());
    case 5: return by(integral_constant<Index, 5>(), integral_constant<Index, 1>());
    default: return by(integral_constant<Index, 6>(), integral_constant<Index, 1>());
  }
}

// Rows in groups of nearly the same size; a block stays in cache for all of them.
template <class W>
void add_groups(const BlockSlab& slab, Index k, Index depth, const W* w, Index block_size, Index first_block, Index blocks) {
  const Index groups = (slab.rows + kGroupRows - 1) / kGroupRows, stride = slab.blocks * kBlockRows;
  const Index at_once = groups == 1 ? blocks : 1;
  for (Index b = 0; b < blocks; b += at_once) {
    for (Index group = 0; group < groups; ++group) {
      const Index m = slab.rows * group / groups, rows = slab.rows * (group + 1) / groups - m;
      add_rows(rows, slab.x + m * slab.x_stride + k, slab.x_stride, depth, w + b * block_size, block_size, at_once, w + (blocks - 1) * block_size,
               slab.sums + m * stride + (first_block + b) * kBlockRows, stride);
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

void add_slab(const BlockSlab& slab) {
  constexpr Index kLeastWidened = 18;  // rows that use a weight, for it to be worth a store and a load
  std::fill_n(slab.sums, slab.rows * slab.blocks * kBlockRows, 0.0f);
  for (Index k = 0; k < slab.k; k += kDepth) {
    const Index depth = std::min(kDepth, slab.k - k);
    if (slab.stored == DType::f32) {
      const auto* w = reinterpret_cast<const float*>(slab.w) + k * kColumn<float>;
      add_groups(slab, k, depth, w, slab.k * kColumn<float>, 0, slab.blocks);
      continue;
    }
    using Pairs = std::uint32_t;
    const auto* w = reinterpret_cast<const Pairs*>(slab.w) + k * kColumn<Pairs>;
    if (slab.rows < kLeastWidened) {
      add_groups(slab, k, depth, w, slab.k * kColumn<Pairs>, 0, slab.blocks);
      continue;
    }
    for (Index b = 0; b < slab.blocks; ++b) {
      widen(w + b * slab.k * kColumn<Pairs>, depth, slab.widened);
      add_groups(slab, k, depth, slab.widened, depth * kColumn<float>, b, 1);
    }
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

constexpr Index kMostPanelRows = 96;  // kDepth columns of them are 384 KiB
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
    constexpr Index kMostSums = kMostPanelRows * kMostBlocks * kBlockRows, kColumns = kDepth * kBlockRows;
    const bool narrow = w.type() == DType::bf16;
    float* const sums = grown<float>(scratch, kMostSums + kColumns + (narrow ? rows * w.cols() : 0));
    const auto* const from = static_cast<const std::byte*>(args.x) + row * x_stride * size_of(w.type());
    float* const wide = sums + kMostSums + kColumns;
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
