// Element conversions on the way into and out of matrix products.
#pragma once

#include "core/types.h"
#include "kernels/matmul.h"

namespace riverrun::kernels::cpu {

// Rows [first, first + count) of the source as a dense [count, cols] of `type`: f32, bf16, or f16 if that is the source's. bf16 and f16
// widen exactly; narrowing rounds to nearest even.
void gather_rows(const MatrixSource& source, Index first, Index count, DType type, void* dense);

// y[i] = max(0, x[i])^2 in f32 or bf16; a NaN stays one.
void relu_squared(const float* x, Index size, void* y, DType y_type);

}  // namespace riverrun::kernels::cpu
