// The start-up test of the identity contract of kernels/matmul.h.
#pragma once

#include <memory>

#include "kernels/cpu/dnnl_matrix.h"

namespace riverrun::kernels::cpu {

// The matrix for oneDNN, when a few rows have been multiplied in panels of several heights, places and column slabs and their bits compared.
// Where they differ, its panels are fixed, and those of every later matrix of its type, with one warning per run; throws Error when even
// that does not help. A shape is tested once per process, on all threads of `pool`.
std::unique_ptr<DnnlMatrix> pack_for_onednn(const MatrixSource& source, DType operand, ThreadPool& pool);

}  // namespace riverrun::kernels::cpu
