// Epilogues as a kernel of their own, behind products that were computed without.
#pragma once

#include "kernels/matmul.h"

namespace riverrun::kernels::cuda {

struct ApplyEpilogueArgs {
  Index size;
  const float* product;  // [size]
  void* y;               // [size] of y_type; may be the memory of `product` when it is fp32
  DType y_type;
  Epilogue epilogue;
};
void apply_epilogue(const ApplyEpilogueArgs& args, Stream stream);

}  // namespace riverrun::kernels::cuda
