#include <algorithm>
#include <bit>

#include "core/thread_pool.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/int8_matrix.h"
#include "kernels/cpu/int8_rows.h"
#include "kernels/cpu/scratch.h"

namespace riverrun::kernels::cpu {

namespace {

constexpr Index kPanelRows = 64;       // the tallest panel
constexpr Index kLeastPanelRows = 16;  // panels begin at multiples of it
constexpr Index kSlabColumns = 512;    // so that a panel's sums stay in L2
constexpr Index kSharedColumns = 256;  // panels become lower before slabs become narrower than this
constexpr Index kSliceRows = 512;      // of x in integers at once, at least
// Below these, a second thread costs more than it gives.
constexpr double kLeastParallelFlop = 8e6, kLeastParallelBytes = 1.5e5;
constexpr Index kLeastQuantised = 1 << 15;

// Panels of rows times slabs of columns. The cut decides the speed; sums of integers are the same for any.
struct Cut {
  Index panel_rows, columns;
};

// The widest slab of at most that many columns.
Index slab_of(const Int8Matrix& w, Index columns) {
  if (w.rows() <= columns || w.rows() <= w.granule()) return w.rows();
  const auto granules = static_cast<std::uint64_t>(std::max<Index>(1, columns / w.granule()));
  return w.granule() * std::min(kMostGranules, static_cast<Index>(std::bit_floor(granules)));
}

Cut choose_cut(const Int8Matrix& w, Index M, int threads) {
  Cut cut = {std::min(M, kPanelRows), slab_of(w, kSlabColumns)};
  const double bytes = static_cast<double>(w.rows()) * static_cast<double>(w.cols());
  const bool small = 2 * static_cast<double>(M) * bytes < kLeastParallelFlop && bytes < kLeastParallelBytes;
  if (threads == 1 || small) return cut;
  const auto tasks = [&] { return ceil_div(M, cut.panel_rows) * ceil_div(w.rows(), cut.columns); };
  while (tasks() < 2 * threads) {
    const bool narrower = cut.columns > w.granule(), lower = cut.panel_rows > kLeastPanelRows;
    if (narrower && (cut.columns > kSharedColumns || !lower)) {
      cut.columns = slab_of(w, cut.columns / 2);
    } else if (lower) {
      cut.panel_rows = ceil_div(cut.panel_rows / 2, kLeastPanelRows) * kLeastPanelRows;
    } else {
      break;
    }
  }
  return cut;
}

// Rows of x as integers: readable up to the next multiple of kPanelRows, since panels may be multiplied higher than
// they are.
struct Integers {
  std::uint8_t* q;
  float* scales;
};

Integers quantise(const void* x, Index stride, Index rows, const Int8Matrix& w, ThreadPool& pool) {
  thread_local Buffer integers, scales;
  const Index cols = w.cols(), q_stride = w.x_stride();
  const Integers out = {grown<std::uint8_t>(integers, ceil_div(rows, kPanelRows) * kPanelRows * q_stride), grown<float>(scales, rows)};
  pool.run_ranges(rows, ceil_div(kLeastQuantised, cols), [&](Index begin, Index end, int) {
    const auto* from = static_cast<const std::byte*>(x) + begin * stride * size_of(w.type());
    quantise_rows(from, w.type(), stride, end - begin, cols, out.q + begin * q_stride, q_stride, out.scales + begin);
  });
  return out;
}

}  // namespace

void int8_matmul(const Int8Matrix& w, const MatmulArgs& args, Index x_stride, ThreadPool& pool) {
  const Index slice_rows = std::max(kSliceRows, kPanelRows * pool.threads()), y_size = size_of(args.y_type);
  for (Index begin = 0; begin < args.M; begin += slice_rows) {
    const Index rows = std::min(slice_rows, args.M - begin);
    const auto* from = static_cast<const std::byte*>(args.x) + begin * x_stride * size_of(w.type());
    const Integers x = quantise(from, x_stride, rows, w, pool);
    const Cut cut = choose_cut(w, rows, pool.threads());
    const Index slabs = ceil_div(w.rows(), cut.columns);
    pool.run(ceil_div(rows, cut.panel_rows) * slabs, [&](Index task, int) {
      thread_local Buffer scratch;
      const Index first = task / slabs * cut.panel_rows, column = task % slabs * cut.columns;
      const Index count = std::min(cut.panel_rows, rows - first), columns = std::min(cut.columns, w.rows() - column);
      const Index height = w.height_of(count), sums_stride = w.sums_stride(columns);
      std::int32_t* const sums = grown<std::int32_t>(scratch, height * sums_stride);
      w.multiply(x.q + first * w.x_stride(), height, column, columns, sums);
      auto* const y = static_cast<std::byte*>(args.y) + ((begin + first) * w.rows() + column) * y_size;
      finish_tile({count, columns, sums, sums_stride, x.scales + first, w.scales() + column, w.offsets() + column, y, w.rows(),
                   args.y_type, args.epilogue});
    });
  }
}

}  // namespace riverrun::kernels::cpu
