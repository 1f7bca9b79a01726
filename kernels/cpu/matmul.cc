#include <algorithm>

#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/cpu/block_matrix.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/int8_matrix.h"
#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/row_identity.h"
#include "kernels/cpu/table.h"

namespace riverrun::kernels::cpu {

namespace {

constexpr Index kUnit = 16;            // panels begin at multiples of it
constexpr Index kLeastPanelRows = 32;  // rather than lower panels, threads share a panel's columns

// How a product is cut into tasks: panels of whole units of rows, times slabs of columns. The cut decides the
// speed; the bits are the same for any (row_identity.h).
struct Cut {
  Index panels;
  Index columns;  // per slab
};

Cut choose_cut(const CpuMatrix& w, const MatmulArgs& args, int threads) {
  const Index panels = ceil_div(args.M, kPanelRows);
  Index most_columns = w.rows();
  if (w.fixed_panels()) return {panels, most_columns};
  if (w.sliceable() && args.epilogue == Epilogue::relu_squared) {
    most_columns = std::min(most_columns, kMostGranules * w.granule());  // so that its scratch stays in L2
  }
  if (threads == 1 || is_for_one_thread(args.M, w.rows(), w.cols(), w.bytes())) return {panels, most_columns};
  const Index even = ceil_div(panels, threads) * threads;
  if (args.M >= even * kLeastPanelRows || !w.sliceable())
    return {std::min(even, ceil_div(args.M, kUnit)), most_columns};
  const Index rows = std::max(panels, args.M / kLeastPanelRows);
  Index columns = kMostGranules * w.granule();
  while (columns > w.granule() && rows * ceil_div(w.rows(), columns) < 2 * threads) columns /= 2;
  return {rows, std::min(columns, most_columns)};
}

void check(const MatmulArgs& args, const PackedMatrix& w, Index x_stride) {
  RR_CHECK(args.M >= 0, args.M, " rows");
  RR_CHECK(x_stride >= w.cols(), "rows of ", w.cols(), " elements, ", x_stride, " apart");
  RR_CHECK(args.y_type == DType::f32 || (args.y_type == w.type() && args.epilogue != Epilogue::add),
           "y of type ", name_of(args.y_type), " from operands of type ", name_of(w.type()));
}

}  // namespace

bool multiplies(DType operand) { return operand == DType::f32 || operand == DType::bf16 || operand == DType::i8; }

bool multiplies_fast(DType operand) {
  static const bool kBf16 = gemm_is_fast(DType::bf16), kInt8 = gemm_is_fast(DType::i8);
  return (operand == DType::bf16 && kBf16) || (operand == DType::i8 && kInt8);
}

std::unique_ptr<PackedMatrix> pack_matrix(const MatrixSource& source, DType operand, Stream stream) {
  RR_CHECK(source.rows > 0 && source.cols > 0, "a matrix of ", source.rows, " x ", source.cols);
  RR_CHECK_INPUT(operand != DType::i8 && multiplies(operand), "this CPU cannot multiply ", name_of(operand),
                 " matrices; use --precision bf16 or fp32");
  if (!multiplies_fast(DType::bf16)) return std::make_unique<BlockMatrix>(source, operand, *stream.pool);
  auto packed = std::make_unique<CpuMatrix>(source, operand, *stream.pool);
  check_row_identity(*packed, *stream.pool);
  return packed;
}

void matmul(const MatmulArgs& args, Stream stream) {
  const Index x_stride = args.x_stride == 0 ? args.w->cols() : args.x_stride;
  check(args, *args.w, x_stride);
  if (args.M == 0) return;
  if (const auto* quantised = dynamic_cast<const Int8Matrix*>(args.w)) {
    return int8_matmul(*quantised, args, x_stride, *stream.pool);
  }
  if (const auto* blocks = dynamic_cast<const BlockMatrix*>(args.w)) return block_product(*blocks, args, x_stride, *stream.pool);
  const auto* w = dynamic_cast<const CpuMatrix*>(args.w);
  RR_CHECK(w != nullptr, "a matrix packed by another backend");
  const Cut cut = choose_cut(*w, args, stream.pool->threads());
  const Index slabs = ceil_div(w->rows(), cut.columns), units = ceil_div(args.M, kUnit);
  const auto* x = static_cast<const std::byte*>(args.x);
  auto* y = static_cast<std::byte*>(args.y);
  stream.pool->run(cut.panels * slabs, [&](Index task, int) {
    const Index panel = task % cut.panels, column = task / cut.panels * cut.columns;
    const Index first = units * panel / cut.panels * kUnit;
    const Index last = std::min(args.M, units * (panel + 1) / cut.panels * kUnit);
    run_panel(*w, {last - first, column, std::min(cut.columns, w->rows() - column),
                   x + first * x_stride * size_of(w->type()), x_stride,
                   y + first * w->rows() * size_of(args.y_type), args.y_type, args.epilogue});
  });
}

}  // namespace riverrun::kernels::cpu
