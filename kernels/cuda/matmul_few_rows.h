// Products with few rows of x (decoding): the weights are read once from memory, which is what such a product
// costs.
#pragma once

#include "kernels/cuda/packed_matrix.h"

namespace riverrun::kernels::cuda {

// The contract of kernels::Matmul, for any number of rows. How the sum over the columns is cut depends on
// nothing but their number, so that a row has the same bits whichever kernel of this file, and how many rows,
// it meets.
void matmul_few_rows(const CudaMatrix& w, const MatmulArgs& args, Stream stream);

struct FewRowsParameters {
  Index M, N, K, w_stride, x_stride;
  const void *x, *w;
  void* y;
  DType y_type;
  Epilogue epilogue;
};
void few_rows_f32(const FewRowsParameters& parameters, Stream stream);
void few_rows_16(const FewRowsParameters& parameters, DType operand, Stream stream);

}  // namespace riverrun::kernels::cuda
