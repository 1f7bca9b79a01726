// Products with a BlockMatrix.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/block_matrix.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/block_product.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/block_tile-inl.h"
#include "kernels/cpu/epilogue-inl.h"

#ifndef RIVERRUN_KERNELS_CPU_BLOCK_SLAB_
#define RIVERRUN_KERNELS_CPU_BLOCK_SLAB_
namespace riverrun::kernels::cpu {
// Rows and columns of y that a task computes, and what it needs for them.
struct BlockSlab {
  Index rows, k;
  const void* x;  // [rows, k], rows x_stride apart, in factors: floats, pairs of bf16, or fours of u8
  Index x_stride;
  const std::byte* w;  // the block of the first column
  Index blocks;
  Stored stored;
  float* sums;     // [rows, blocks * kBlockRows], scratch
  float* widened;  // kMostWidened, scratch
  Index columns;
  void* y;  // [rows, columns] of y_type, rows y_stride apart
  Index y_stride;
  DType y_type;
  Epilogue epilogue;
};
inline constexpr Index kMostWidened = 1024 * kBlockRows;  // floats
}  // namespace riverrun::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// Columns of W, or groups of them, at once, for more rows than kFewRows. Their part of a tile's blocks, of the next tile's and of a task's rows of x, and the sums,
// are to stay in the L2 cache, which with AVX-512 two threads may share: they are some 300 KiB there, and up to 600 elsewhere. Loaded and
// stored in between, a sum stays what it is: the depth changes no bit.
constexpr Index kDepth = kVectors == 1 ? 256 : 1024;
static_assert(kDepth * kTileBlocks * kBlockRows <= kMostWidened);

// Rows in groups of nearly the same size; the blocks of the tile stay in cache for all of them. Each group fetches its share of the next
// blocks, so that the memory is never idle.
template <class W>
void add_groups(const BlockSlab& slab, Part<W> part, const Fetch& next) {
  const Index groups = (slab.rows + kTileRows - 1) / kTileRows;
  const Factor<W>* const x = part.x;
  float* const sums = part.sums;
  for (Index group = 0; group < groups; ++group) {
    const Index m = slab.rows * group / groups, rows = slab.rows * (group + 1) / groups - m;
    part.x = x + m * part.x_stride, part.sums = sums + m * part.sums_stride;
    const Index fetched = next.blocks * group / groups;
    Fetch fetch = next;
    fetch.at += fetched * next.block_bytes, fetch.blocks = next.blocks * (group + 1) / groups - fetched;
    switch (rows) {
      case 1: add_rows<1, tile_blocks(1)>(part, fetch); break;
      case 2: add_rows<2, tile_blocks(2)>(part, fetch); break;
      case 3: add_rows<3, tile_blocks(3)>(part, fetch); break;
      case 4: add_rows<4, tile_blocks(4)>(part, fetch); break;
      case 5: add_rows<5, tile_blocks(5)>(part, fetch); break;
      default: add_rows<6, tile_blocks(6)>(part, fetch);
    }
  }
}

template <class W>
void add_columns(const BlockSlab& slab, Index k, Index depth) {
  constexpr Index kLeastWidened = std::is_same_v<W, F16> ? 7 : 18;  // rows that use a weight, for it to be worth a store and a load
  constexpr bool kWidens = std::is_same_v<W, F16> || std::is_same_v<W, RowPair>;
  const Index tile = slab.rows <= kTileRows ? tile_blocks(slab.rows) : kTileBlocks, stride = slab.blocks * kBlockRows;
  const Index size = slab.k * kColumn<W>;
  const auto at = [&](Index block, Index column) { return reinterpret_cast<const W*>(slab.w) + block * size + column * kColumn<W>; };
  for (Index b = 0; b < slab.blocks; b += tile) {
    const Index blocks = std::min(tile, slab.blocks - b);
    Fetch next = {.block_bytes = size * Index{sizeof(W)}, .column_bytes = kColumn<W> * Index{sizeof(W)}};
    if (b + tile < slab.blocks) {
      next.at = reinterpret_cast<const std::byte*>(at(b + tile, k)), next.blocks = std::min(tile, slab.blocks - b - tile);
    } else if (k + depth < slab.k) {
      next.at = reinterpret_cast<const std::byte*>(at(0, k + depth)), next.blocks = std::min(tile, slab.blocks);
    }
    const Factor<W>* const x = static_cast<const Factor<W>*>(slab.x) + k;
    float* const sums = slab.sums + b * kBlockRows;
    if constexpr (kWidens) {
      if (slab.rows >= kLeastWidened) {
        widen(at(b, k), size, blocks, depth, slab.widened);
        add_groups<float>(slab, {x, slab.x_stride, depth, slab.widened, depth * kBlockRows, blocks, sums, stride}, next);
        continue;
      }
    }
    add_groups<W>(slab, {x, slab.x_stride, depth, at(b, k), size, blocks, sums, stride}, next);
  }
}

template <class W>
void add_all(const BlockSlab& slab) {
  std::fill_n(slab.sums, slab.rows * slab.blocks * kBlockRows, 0.0f);
  const Index most = slab.rows <= kFewRows ? slab.k : kDepth;
  for (Index k = 0; k < slab.k; k += most) add_columns<W>(slab, k, std::min(most, slab.k - k));
}

template <class W>
void add_groups_of_columns(const BlockSlab& slab) {
  RR_CHECK(kMultiplies<W>, "weights packed for a newer instruction set");
  if constexpr (kMultiplies<W>) add_all<W>(slab);
}

void add_slab(const BlockSlab& slab) {
  switch (slab.stored) {
    case Stored::f32: return add_all<float>(slab);
    case Stored::f16: return add_all<F16>(slab);
    case Stored::row_pairs: return add_all<RowPair>(slab);
    case Stored::column_pairs: return add_groups_of_columns<ColumnPair>(slab);
  }
}

// Sums are the bits of integers.
void add_quads(const BlockSlab& slab) { add_groups_of_columns<ColumnQuad>(slab); }

bool multiplies_pairs() { return kMultiplies<ColumnPair> && has_bf16_pairs(); }
bool multiplies_quads() { return kMultiplies<ColumnQuad> && has_int8_quads(HWY_MAX_BYTES); }

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

HWY_EXPORT(add_quads);
HWY_EXPORT(multiplies_pairs);
HWY_EXPORT(multiplies_quads);
HWY_EXPORT(multiply_slab);
HWY_EXPORT(multiply_slab_and_add);
HWY_EXPORT(widen_rows);

constexpr Index kMostPanelRows = 96;  // whole tiles
constexpr Index kMostBlocks = 16, kLeastBlocks = 4;

// Blocks of W in a task: whole tiles, few enough for every thread to have two tasks.
Index blocks_of_a_task(const BlockMatrix& w, Index panels, int threads) {
  if (threads == 1) return std::min(kMostBlocks, w.blocks());
  const Index slabs = ceil_div(2 * threads, panels), blocks = ceil_div(ceil_div(w.blocks(), slabs), kLeastBlocks) * kLeastBlocks;
  return std::min({blocks, kMostBlocks, w.blocks()});
}

}  // namespace

bool multiplies_bf16_pairs() { return HWY_DYNAMIC_DISPATCH(multiplies_pairs)(); }
bool multiplies_int8_quads() { return HWY_DYNAMIC_DISPATCH(multiplies_quads)(); }

void int8_quads_product(const std::uint8_t* x, Index rows, Index quads, const std::byte* w, Index blocks, std::int32_t* sums) {
  const BlockSlab slab = {.rows = rows, .k = quads, .x = x, .x_stride = quads, .w = w, .blocks = blocks, .sums = reinterpret_cast<float*>(sums)};
  HWY_DYNAMIC_DISPATCH(add_quads)(slab);
}

BlockProduct::BlockProduct(const BlockMatrix& w, const MatmulArgs& args, Index x_stride, int threads)
    : w_(w), args_(args), x_stride_(x_stride), panels_(ceil_div(args.M, kMostPanelRows)),
      blocks_(blocks_of_a_task(w, panels_, threads)), slabs_(ceil_div(w.blocks(), blocks_)) {}

// Whether rows of x lie as they are multiplied.
bool BlockProduct::takes_rows_as_they_are() const {
  const bool whole_pairs = w_.cols() % 2 == 0 && x_stride_ % 2 == 0;
  return w_.type() == DType::f32 || (w_.stored() == Stored::column_pairs && whole_pairs);
}

// Of the rows from `row` on, where they lie, or in `scratch`.
BlockProduct::Factors BlockProduct::factors(Index row, Index rows, float* scratch) const {
  const Index K = w_.cols(), width = w_.width(), numbers = w_.stored() == Stored::column_pairs ? 2 : 1;  // in a factor
  const auto* const from = static_cast<const std::byte*>(args_.x) + row * x_stride_ * size_of(w_.type());
  if (takes_rows_as_they_are()) return {from, x_stride_ / numbers, K / numbers};
  if (w_.stored() == Stored::row_pairs) {
    HWY_DYNAMIC_DISPATCH(widen_rows)(from, x_stride_, rows, K, scratch);
    return {scratch, K, K};
  }
  auto* const padded = reinterpret_cast<std::uint16_t*>(scratch);
  for (Index m = 0; m < rows; ++m) {
    std::memcpy(padded + m * width, from + m * x_stride_ * Index{sizeof(std::uint16_t)}, static_cast<std::size_t>(K) * sizeof(std::uint16_t));
    std::fill(padded + m * width + K, padded + (m + 1) * width, std::uint16_t{0});
  }
  return {padded, width / 2, width / 2};
}

void BlockProduct::run(Index task) const {
  thread_local Buffer scratch;
  const Index N = w_.rows(), groups = ceil_div(args_.M, kTileRows);
  const Index panel = task % panels_, first = task / panels_ * blocks_;
  const Index row = groups * panel / panels_ * kTileRows, rows = std::min(args_.M, groups * (panel + 1) / panels_ * kTileRows) - row;
  const Index count = std::min(blocks_, w_.blocks() - first), column = first * kBlockRows;
  constexpr Index kMostSums = kMostPanelRows * kMostBlocks * kBlockRows;
  float* const sums = grown<float>(scratch, kMostSums + kMostWidened + (takes_rows_as_they_are() ? 0 : rows * w_.width()));
  const Factors x = factors(row, rows, sums + kMostSums + kMostWidened);
  const BlockSlab slab = {rows, x.per_row, x.first, x.stride, w_.block(first), count, w_.stored(), sums, sums + kMostSums,
            std::min(count * kBlockRows, N - column), static_cast<std::byte*>(args_.y) + (row * N + column) * size_of(args_.y_type), N,
            args_.y_type, args_.epilogue};
  if (args_.epilogue == Epilogue::add) HWY_DYNAMIC_DISPATCH(multiply_slab_and_add)(slab);
  else HWY_DYNAMIC_DISPATCH(multiply_slab)(slab);
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
