#include <algorithm>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/cpu/block_matrix.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/dnnl_matrix.h"
#include "kernels/cpu/int8_matrix.h"
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

Cut choose_cut(const DnnlMatrix& w, const MatmulArgs& args, int threads) {
  const Index panels = ceil_div(args.M, kPanelRows);
  Index most_columns = w.rows();
  if (w.fixed_panels()) return {panels, most_columns};
  if (w.sliceable() && args.epilogue == Epilogue::relu_squared) {
    most_columns = std::min(most_columns, kMostGranules * w.granule());  // so that its scratch stays in L2
  }
  if (threads == 1) return {panels, most_columns};
  const Index even = ceil_div(panels, threads) * threads;
  if (args.M >= even * kLeastPanelRows || !w.sliceable())
    return {std::min(even, ceil_div(args.M, kUnit)), most_columns};
  const Index rows = std::max(panels, args.M / kLeastPanelRows);
  Index columns = kMostGranules * w.granule();
  while (columns > w.granule() && rows * ceil_div(w.rows(), columns) < 2 * threads) columns /= 2;
  return {rows, std::min(columns, most_columns)};
}

// The product by oneDNN, cut into tasks.
class PanelProduct {
 public:
  PanelProduct(const DnnlMatrix& w, const MatmulArgs& args, Index x_stride, int threads)
      : w_(w), args_(args), x_stride_(x_stride), cut_(choose_cut(w, args, threads)) {}
  Index tasks() const { return cut_.panels * ceil_div(w_.rows(), cut_.columns); }

  void run(Index task) const {
    const Index panel = task % cut_.panels, column = task / cut_.panels * cut_.columns, units = ceil_div(args_.M, kUnit);
    const Index first = units * panel / cut_.panels * kUnit;
    const Index last = std::min(args_.M, units * (panel + 1) / cut_.panels * kUnit);
    run_panel(w_, {last - first, column, std::min(cut_.columns, w_.rows() - column),
                   static_cast<const std::byte*>(args_.x) + first * x_stride_ * size_of(w_.type()), x_stride_,
                   static_cast<std::byte*>(args_.y) + first * w_.rows() * size_of(args_.y_type), args_.y_type, args_.epilogue});
  }

 private:
  const DnnlMatrix& w_;
  const MatmulArgs& args_;
  Index x_stride_;
  Cut cut_;
};

Index stride_of(const MatmulArgs& args) { return args.x_stride == 0 ? args.w->cols() : args.x_stride; }

void check(const MatmulArgs& args) {
  const PackedMatrix& w = *args.w;
  RR_CHECK(args.M >= 0, args.M, " rows");
  RR_CHECK(stride_of(args) >= w.cols(), "rows of ", w.cols(), " elements, ", stride_of(args), " apart");
  RR_CHECK(args.y_type == DType::f32 || (args.y_type == w.type() && args.epilogue != Epilogue::add),
           "y of type ", name_of(args.y_type), " from operands of type ", name_of(w.type()));
}

// Their tasks are dealt out together: small products beside large ones wait for nobody, and nobody waits for them.
using Product = std::variant<PanelProduct, BlockProduct>;

Product make_product(const MatmulArgs& args, int threads) {
  if (const auto* blocks = dynamic_cast<const BlockMatrix*>(args.w)) return BlockProduct(*blocks, args, stride_of(args), threads);
  const auto* w = dynamic_cast<const DnnlMatrix*>(args.w);
  RR_CHECK(w != nullptr, "a matrix packed by another backend");
  return PanelProduct(*w, args, stride_of(args), threads);
}

Index tasks_of(const Product& product) {
  return std::visit([](const auto& of) { return of.tasks(); }, product);
}
void run_task(std::span<const Product> products, Index task) {
  for (const Product& product : products) {
    const Index own = tasks_of(product);
    if (task < own) return std::visit([task](const auto& of) { of.run(task); }, product);
    task -= own;
  }
}

}  // namespace

bool multiplies(DType operand) { return operand == DType::f32 || operand == DType::bf16 || operand == DType::i8; }

bool multiplies_fast(DType operand) {
  if (operand == DType::i8) return best_int8_way() != Int8Way::pairs;
  return operand == DType::bf16 && (onednn_is_faster(DType::bf16) || multiplies_bf16_pairs());
}

std::unique_ptr<PackedMatrix> pack_matrix(const MatrixSource& source, DType operand, Stream stream) {
  RR_CHECK(source.rows > 0 && source.cols > 0, "a matrix of ", source.rows, " x ", source.cols);
  RR_CHECK_INPUT(operand != DType::i8 && multiplies(operand), "this CPU cannot multiply ", name_of(operand),
                 " matrices; use --precision bf16 or fp32");
  if (operand == DType::bf16 && onednn_is_faster(DType::bf16)) return pack_for_onednn(source, operand, *stream.pool);
  return std::make_unique<BlockMatrix>(source, operand, *stream.pool);
}

void matmul(std::span<const MatmulArgs> products, Stream stream) {
  std::vector<const MatmulArgs*> floating;
  Effort effort;
  for (const MatmulArgs& args : products) {
    check(args);
    if (args.M == 0) continue;
    if (const auto* quantised = dynamic_cast<const Int8Matrix*>(args.w)) {
      int8_matmul(*quantised, args, stride_of(args), *stream.pool);
    } else {
      floating.push_back(&args);
      effort.add(args.M, args.w->rows(), args.w->cols(), args.w->bytes());
    }
  }
  const bool alone = effort.is_for_one_thread();
  std::vector<Product> together;
  Index tasks = 0;
  for (const MatmulArgs* args : floating) tasks += tasks_of(together.emplace_back(make_product(*args, alone ? 1 : stream.pool->threads())));
  if (alone) {
    for (Index task = 0; task < tasks; ++task) run_task(together, task);
  } else {
    stream.pool->run(tasks, [&](Index task, int) { run_task(together, task); });
  }
}

}  // namespace riverrun::kernels::cpu
