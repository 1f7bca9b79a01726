// What the reference's products of every operand type share.
#pragma once

#include "kernels/matmul.h"

namespace riverrun::kernels::reference {

// Checks the types and strides of a call; elements from a row of x to the next.
Index checked_stride(const MatmulArgs& args);

// Element `at` of y from its product.
void finish(const MatmulArgs& args, Index at, double product);

}  // namespace riverrun::kernels::reference
