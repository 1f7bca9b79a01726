// CudaMatrix: weights on the device, row by row in the operand type.
#pragma once

#include "core/weight_storage.h"
#include "kernels/matmul.h"

namespace riverrun::kernels::cuda {

// Rows are kColumnsAtOnce * n elements apart; what is behind the last column is zero.
inline constexpr Index kColumnsAtOnce = 32;

class CudaMatrix final : public PackedMatrix {
 public:
  CudaMatrix(const MatrixSource& source, DType operand, Stream stream);

  Index rows() const override { return rows_; }
  Index cols() const override { return cols_; }
  DType type() const override { return type_; }
  Index bytes() const override { return data_.bytes(); }

  const void* data() const { return data_.data(); }
  Index stride() const { return (cols_ + kColumnsAtOnce - 1) / kColumnsAtOnce * kColumnsAtOnce; }  // elements

 private:
  Index rows_, cols_;
  DType type_;
  WeightMemory data_;
};

// The matrix of a product, whose arguments fit it.
const CudaMatrix& matrix_of(const MatmulArgs& args);

}  // namespace riverrun::kernels::cuda
