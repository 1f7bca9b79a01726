#include <vector>

#include "core/error.h"
#include "kernels/reference/epilogue.h"
#include "kernels/reference/int8.h"
#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

namespace {

// Row-major [rows, cols], rounded to the operand type and widened again.
class PlainMatrix final : public PackedMatrix {
 public:
  PlainMatrix(const MatrixSource& source, DType operand)
      : rows_(source.rows),
        cols_(source.cols),
        type_(operand),
        data_(source.storage->take(rows_ * cols_ * Index{sizeof(float)},
                                   concat("reference ", name_of(operand), " ", rows_, " x ", cols_))) {
    if (source.storage->filled()) return;
    auto* const data = reinterpret_cast<float*>(data_.data());
    for (Index n = 0; n < rows_; ++n) {
      for (Index k = 0; k < cols_; ++k) {
        alignas(float) std::byte bits[sizeof(float)];  // room for any operand type
        store_float(bits, operand, 0,
                    load_float(source.data, source.type, n * source.row_stride + k * source.col_stride));
        data[n * cols_ + k] = load_float(bits, operand, 0);
      }
    }
  }

  Index rows() const override { return rows_; }
  Index cols() const override { return cols_; }
  DType type() const override { return type_; }
  Index bytes() const override { return data_.bytes(); }
  const float* row(Index n) const { return reinterpret_cast<const float*>(data_.data()) + n * cols_; }

 private:
  Index rows_, cols_;
  DType type_;
  WeightMemory data_;
};

void multiply(const MatmulArgs& args) {
  if (const auto* quantised = dynamic_cast<const Int8Matrix*>(args.w)) return int8_matmul(*quantised, args);
  const auto* w = dynamic_cast<const PlainMatrix*>(args.w);
  RR_CHECK(w != nullptr, "a matrix packed by another backend");
  const Index stride = checked_stride(args);
  std::vector<double> x(w->cols());
  for (Index m = 0; m < args.M; ++m) {
    for (Index k = 0; k < w->cols(); ++k) x[k] = load_float(args.x, w->type(), m * stride + k);
    for (Index n = 0; n < w->rows(); ++n) {
      const float* row = w->row(n);
      double product = 0;
      for (Index k = 0; k < w->cols(); ++k) product += x[k] * row[k];
      finish(args, m * w->rows() + n, product);
    }
  }
}

}  // namespace

std::unique_ptr<PackedMatrix> pack_matrix(const MatrixSource& source, DType operand, Stream) {
  return std::make_unique<PlainMatrix>(source, operand);
}

void matmul(std::span<const MatmulArgs> products, Stream) {
  for (const MatmulArgs& product : products) multiply(product);
}

}  // namespace riverrun::kernels::reference
