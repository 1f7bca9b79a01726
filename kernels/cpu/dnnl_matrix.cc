#include "kernels/cpu/dnnl_matrix.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/scratch.h"

namespace riverrun::kernels::cpu {

namespace {

// Heights are rounded up so that few primitives serve every height.
Index rounded_height(const DnnlMatrix& w, Index rows) {
  if (w.fixed_panels()) return kPanelRows;
  return rows < 16 ? static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(rows)))
                   : (rows + 15) / 16 * 16;
}

PostOp post_op_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::add:
      return PostOp::add;
    case Epilogue::tanh:
      return PostOp::tanh;
    case Epilogue::sigmoid:
      return PostOp::sigmoid;
    case Epilogue::silu:
      return PostOp::silu;
    default:
      return PostOp::none;
  }
}

// What oneDNN's bytes mean depends on more than their number.
std::string layout_text(Index rows, Index cols, DType operand, const PackedLayout& layout) {
  return concat("cpu ", name_of(operand), " ", rows, " x ", cols, " in oneDNN's layout ", layout.blocking);
}

void copy_rows(const void* from, Index from_stride, void* to, Index to_stride, Index row_bytes, Index rows) {
  for (Index m = 0; m < rows; ++m) {
    std::memcpy(static_cast<std::byte*>(to) + m * to_stride,
                static_cast<const std::byte*>(from) + m * from_stride, static_cast<std::size_t>(row_bytes));
  }
}

// The panel's rows of x one behind the other, followed by zeros up to `height` rows. A copy rather than a
// stride in oneDNN's description of x: a row then has the bits it has in a dense x, whatever kernel oneDNN
// picks for a stride.
const void* dense_x(const DnnlMatrix& w, const Panel& panel, Index height) {
  thread_local Buffer buffer;
  const Index row_bytes = w.cols() * size_of(w.type());
  std::byte* x = grown<std::byte>(buffer, height * row_bytes);
  copy_rows(panel.x, panel.x_stride * size_of(w.type()), x, row_bytes, row_bytes, panel.rows);
  std::memset(x + panel.rows * row_bytes, 0, static_cast<std::size_t>((height - panel.rows) * row_bytes));
  return x;
}

// A product whose y cannot be written where it belongs: it is padded, a slab of wider rows, or has an
// epilogue of ours.
void run_through_scratch(const DnnlMatrix& w, const Panel& panel, const Gemm& gemm, const void* x,
                         Index height) {
  thread_local Buffer buffer;
  const bool squared = panel.epilogue == Epilogue::relu_squared;
  const Index size = squared ? 4 : size_of(panel.y_type);
  std::byte* scratch = grown<std::byte>(buffer, height * panel.columns * size);
  auto* y = static_cast<std::byte*>(panel.y) + panel.column * size_of(panel.y_type);
  const Index slab_bytes = panel.columns * size, y_bytes = w.rows() * size_of(panel.y_type);
  if (panel.epilogue == Epilogue::add) {
    copy_rows(y, y_bytes, scratch, slab_bytes, slab_bytes, panel.rows);
    std::memset(scratch + panel.rows * slab_bytes, 0,
                static_cast<std::size_t>((height - panel.rows) * slab_bytes));
  }
  gemm.run(x, w.slab(panel.column), scratch);
  if (!squared) return copy_rows(scratch, slab_bytes, y, y_bytes, slab_bytes, panel.rows);
  for (Index m = 0; m < panel.rows; ++m) {
    relu_squared(reinterpret_cast<const float*>(scratch + m * slab_bytes), panel.columns, y + m * y_bytes,
                 panel.y_type);
  }
}

}  // namespace

DnnlMatrix::DnnlMatrix(const MatrixSource& source, DType operand, ThreadPool& pool)
    : rows_(source.rows),
      cols_(source.cols),
      type_(operand),
      layout_(packed_layout(rows_, cols_, operand)),
      data_(source.storage->take(layout_.bytes, layout_text(rows_, cols_, operand, layout_))) {
  if (source.storage->filled()) return;
  constexpr Index kColumns =
      256;  // of a strip: enough of them for every thread, few enough to make primitives for
  const Index width = packed_apart(layout_, rows_, kColumns);
  std::vector<Buffer> converted(pool.threads());
  pool.run((rows_ + width - 1) / width, [&](Index strip, int worker) {
    const Index first = strip * width;
    const Slab slab = {first, std::min(width, rows_ - first), cols_, operand};
    if (source.type == operand) {
      const auto* rows =
          static_cast<const std::byte*>(source.data) + first * source.row_stride * size_of(operand);
      return pack_slab(rows, source.row_stride, source.col_stride, slab, layout_, data_.data());
    }
    std::byte* dense = grown<std::byte>(converted[worker], width * cols_ * size_of(operand));
    gather_rows(source, first, slab.columns, operand, dense);
    pack_slab(dense, cols_, 1, slab, layout_, data_.data());
  });
}

void run_panel(const DnnlMatrix& w, const Panel& panel) {
  const Index height = rounded_height(w, panel.rows);
  const bool squared = panel.epilogue == Epilogue::relu_squared;
  const DType y_type = squared ? DType::f32 : panel.y_type;
  const Gemm& gemm =
      find_gemm({height, panel.columns, w.cols(), w.type(), y_type, post_op_of(panel.epilogue)});
  const bool ready = height == panel.rows && (panel.x_stride == w.cols() || panel.rows == 1);
  const void* x = ready ? panel.x : dense_x(w, panel, height);
  const bool dense_y = height == panel.rows && (panel.columns == w.rows() || panel.rows == 1);
  if (squared || !dense_y) return run_through_scratch(w, panel, gemm, x, height);
  gemm.run(x, w.slab(panel.column), static_cast<std::byte*>(panel.y) + panel.column * size_of(panel.y_type));
}

}  // namespace riverrun::kernels::cpu
