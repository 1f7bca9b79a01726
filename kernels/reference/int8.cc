#include "kernels/reference/int8.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "kernels/int8.h"
#include "kernels/reference/epilogue.h"
#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

namespace {

// Writes the integers of x and returns their scale.
float quantise(const std::vector<float>& x, std::int8_t* q) {
  float most = 0;
  for (const float value : x) {
    if (!(std::abs(value) <= most)) most = std::abs(value);  // a NaN comes in, and no number after it
    if (std::isnan(most)) break;
  }
  const Int8Scale row = int8_scale(most);
  for (const float value : x) *q++ = row.inverse == 0 ? 0 : static_cast<std::int8_t>(std::lrint(value * row.inverse));
  return row.scale;
}

}  // namespace

Int8Matrix::Int8Matrix(const MatrixSource& source, DType operand)
    : rows_(source.rows),
      cols_(source.cols),
      type_(operand),
      data_(source.storage->take(rows_ * (cols_ + Index{sizeof(float)}), concat("reference int8 ", rows_, " x ", cols_))) {
  if (source.storage->filled()) return;
  auto* const scales = reinterpret_cast<float*>(data_.data());
  auto* const integers = reinterpret_cast<std::int8_t*>(scales + rows_);
  std::vector<float> row(cols_);
  for (Index n = 0; n < rows_; ++n) {
    for (Index k = 0; k < cols_; ++k) {
      row[k] = load_float(source.data, source.type, n * source.row_stride + k * source.col_stride);
    }
    scales[n] = quantise(row, integers + n * cols_);
  }
}

std::unique_ptr<PackedMatrix> pack_int8(const MatrixSource& source, DType operand, Stream) {
  RR_CHECK_INPUT(source.cols <= kMostInt8Cols, "a matrix of ", source.cols, " columns is too wide for int8 weights");
  return std::make_unique<Int8Matrix>(source, operand);
}

void int8_matmul(const Int8Matrix& w, const MatmulArgs& args) {
  const Index stride = checked_stride(args), K = w.cols();
  std::vector<float> x(K);
  std::vector<std::int8_t> q(K);
  for (Index m = 0; m < args.M; ++m) {
    for (Index k = 0; k < K; ++k) x[k] = load_float(args.x, w.type(), m * stride + k);
    const float x_scale = quantise(x, q.data());
    for (Index n = 0; n < w.rows(); ++n) {
      std::int32_t sum = 0;
      for (Index k = 0; k < K; ++k) sum += std::int32_t{q[k]} * w.row(n)[k];
      const float scale = x_scale * w.scale(n);
      finish(args, m * w.rows() + n, static_cast<float>(sum) * scale);
    }
  }
}

}  // namespace riverrun::kernels::reference
