// Products with many rows of x (reading documents), by cuBLASLt.
#pragma once

#include "kernels/cuda/packed_matrix.h"

namespace riverrun::kernels::cuda {

// The contract of kernels::Matmul for any number of rows, for matrices that cuBLASLt takes. How a product is computed is
// chosen once per matrix shape, without a cut along the columns, and kept for any number of rows: a row then has the same
// bits in all of them.
void matmul_many_rows(const CudaMatrix& w, const MatmulArgs& args, Stream stream);

// Whether it takes them, for any number of rows alike: 16 bytes of a row of x and w must hold whole elements at aligned addresses, and
// cuBLASLt must have a way that holds for every number. Where it has none, a warning says so once for the shape.
bool takes_many_rows(const CudaMatrix& w, const MatmulArgs& args);

}  // namespace riverrun::kernels::cuda
