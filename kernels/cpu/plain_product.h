// Products for writing texts with weights that oneDNN leaves as they are, [cols][rows] in strips (machines without AVX-512): of one row or a
// few, oneDNN makes a panel there, which takes the time of 64 rows.
#pragma once

#include "kernels/cpu/packed_matrix.h"

namespace riverrun::kernels::cpu {

// Whether plain_product takes products with `w`.
bool takes_plain(const CpuMatrix& w);

// The contract of kernels::Matmul for any number of rows. An element is the sum over k in order, each step one fused
// multiply-add where the machine has it: so it is the same bits whatever M, its place and the number of threads.
void plain_product(const CpuMatrix& w, const MatmulArgs& args, Index x_stride, ThreadPool& pool);

}  // namespace riverrun::kernels::cpu
