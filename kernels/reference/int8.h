// Int8Matrix of the reference backend.
#pragma once

#include "core/weight_storage.h"
#include "kernels/matmul.h"

namespace riverrun::kernels::reference {

class Int8Matrix final : public PackedMatrix {
 public:
  Int8Matrix(const MatrixSource& source, DType operand);

  Index rows() const override { return rows_; }
  Index cols() const override { return cols_; }
  DType type() const override { return type_; }
  Index bytes() const override { return data_.bytes(); }

  const std::int8_t* row(Index n) const {
    return reinterpret_cast<const std::int8_t*>(data_.data() + rows_ * Index{sizeof(float)}) + n * cols_;
  }
  float scale(Index n) const { return reinterpret_cast<const float*>(data_.data())[n]; }

 private:
  Index rows_, cols_;
  DType type_;
  WeightMemory data_;  // scales [rows], integers [rows, cols]
};

void int8_matmul(const Int8Matrix& w, const MatmulArgs& args);

}  // namespace riverrun::kernels::reference
