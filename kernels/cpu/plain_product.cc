#include "kernels/cpu/plain_product.h"

#include <algorithm>

#include "core/thread_pool.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/plain_product.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/epilogue-inl.h"

// Columns of y that a task takes, and what it needs for them.
#ifndef RIVERRUN_KERNELS_CPU_PLAIN_SLAB_
#define RIVERRUN_KERNELS_CPU_PLAIN_SLAB_
namespace riverrun::kernels::cpu {
struct PlainSlab {
  Index rows, k, columns;
  const float* x;  // [rows, k], rows x_stride apart
  Index x_stride;
  const float* w;  // [k, columns], rows w_stride apart
  Index w_stride;
  float* sums;     // [rows, columns], scratch
  void* y;         // [rows, columns] of y_type, rows y_stride apart
  Index y_stride;
  DType y_type;
  Epilogue epilogue;
};
}  // namespace riverrun::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// sums += x[0, kDepth) w[0, kDepth), from row m of x and column k on, for kRows rows. Loaded and stored in between, a sum stays
// what it is: how many k go at once changes no bit.
template <Index kRows, Index kDepth, class D>
HWY_INLINE void add_depth(D d, const PlainSlab& slab, Index m, Index k) {
  hn::Vec<D> factor[kRows][kDepth];
  for (Index r = 0; r < kRows; ++r) {
    for (Index i = 0; i < kDepth; ++i) factor[r][i] = hn::Set(d, slab.x[(m + r) * slab.x_stride + k + i]);
  }
  const float* const w = slab.w + k * slab.w_stride;
  float* const sums = slab.sums + m * slab.columns;
  for (Index n = 0; n < slab.columns; n += hn::Lanes(d)) {
    hn::Vec<D> sum[kRows];
    for (Index r = 0; r < kRows; ++r) sum[r] = hn::LoadU(d, sums + r * slab.columns + n);
    for (Index i = 0; i < kDepth; ++i) {
      const auto weight = hn::LoadU(d, w + i * slab.w_stride + n);
      for (Index r = 0; r < kRows; ++r) sum[r] = hn::MulAdd(factor[r][i], weight, sum[r]);
    }
    for (Index r = 0; r < kRows; ++r) hn::StoreU(sum[r], d, sums + r * slab.columns + n);
  }
}

// Eight factors fill half of AVX2's registers; two rows at once halve the reading of weights.
constexpr Index kDepth = 8;

template <class D>
void add_slab(D d, const PlainSlab& slab) {
  std::fill_n(slab.sums, slab.rows * slab.columns, 0.0f);
  Index k = 0;
  for (; k + kDepth <= slab.k; k += kDepth) {
    Index m = 0;
    for (; m + 2 <= slab.rows; m += 2) {
      add_depth<2, kDepth / 2>(d, slab, m, k);
      add_depth<2, kDepth / 2>(d, slab, m, k + kDepth / 2);
    }
    if (m < slab.rows) add_depth<1, kDepth>(d, slab, m, k);
  }
  for (; k < slab.k; ++k) {
    for (Index m = 0; m < slab.rows; ++m) add_depth<1, 1>(d, slab, m, k);
  }
}

void multiply_slab(const PlainSlab& slab) {
  with_lanes(slab.columns, [&](auto d) {
    add_slab(d, slab);
    with_type(slab.y, slab.y_type, 0, [&](auto* y) {
      with_epilogue(d, slab.epilogue, [&](auto apply) {
        for (Index m = 0; m < slab.rows; ++m) {
          for (Index n = 0; n < slab.columns; n += hn::Lanes(d)) {
            store(d, apply(hn::LoadU(d, slab.sums + m * slab.columns + n)), y + m * slab.y_stride + n);
          }
        }
      });
    });
  });
}

void multiply_slab_and_add(const PlainSlab& slab) {
  with_lanes(slab.columns, [&](auto d) {
    add_slab(d, slab);
    for (Index m = 0; m < slab.rows; ++m) {
      float* const y = static_cast<float*>(slab.y) + m * slab.y_stride;
      for (Index n = 0; n < slab.columns; n += hn::Lanes(d)) {
        hn::StoreU(hn::Add(hn::LoadU(d, y + n), hn::LoadU(d, slab.sums + m * slab.columns + n)), d, y + n);
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

// Of a slab: its sums, and the weights that rows take turns with, stay in L1. One row alone takes a whole strip.
constexpr Index kMostRows = 16, kMostColumns = 192;
constexpr Index kLeastColumns = 64;  // of a thread: four cache lines
constexpr Index kUnit = 16;          // slabs begin at multiples of it

Index slab_columns(Index M, const CpuMatrix& w, int threads) {
  const Index even = (w.rows() + threads - 1) / threads;
  const Index wanted = std::max((even + kUnit - 1) / kUnit * kUnit, kLeastColumns);
  return std::min(wanted, M == 1 ? w.granule() : std::min(w.granule(), kMostColumns));
}

}  // namespace

bool takes_plain(const CpuMatrix& w) { return w.type() == DType::f32 && w.plain(); }

void plain_product(const CpuMatrix& w, const MatmulArgs& args, Index x_stride, ThreadPool& pool) {
  const Index N = w.rows(), strip = w.granule(), width = slab_columns(args.M, w, pool.threads());
  const Index in_strip = (strip + width - 1) / width, strips = (N + strip - 1) / strip;
  const Index panels = (args.M + kMostRows - 1) / kMostRows;
  pool.run(strips * in_strip * panels, [&](Index task, int) {
    thread_local Buffer sums;
    const Index row = task % panels * kMostRows, first = task / panels / in_strip * strip, offset = task / panels % in_strip * width;
    const Index strip_columns = std::min(strip, N - first), rows = std::min(kMostRows, args.M - row);
    if (offset >= strip_columns) return;  // in the last strip, which is narrower
    const Index columns = std::min(width, strip_columns - offset);
    const PlainSlab slab = {rows, w.cols(), columns, static_cast<const float*>(args.x) + row * x_stride, x_stride,
                            static_cast<const float*>(w.slab(first)) + offset, strip_columns, grown<float>(sums, rows * columns),
                            static_cast<std::byte*>(args.y) + (row * N + first + offset) * size_of(args.y_type), N, args.y_type,
                            args.epilogue};
    if (args.epilogue == Epilogue::add) HWY_DYNAMIC_DISPATCH(multiply_slab_and_add)(slab);
    else HWY_DYNAMIC_DISPATCH(multiply_slab)(slab);
  });
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
