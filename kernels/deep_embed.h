// DeepEmbed (RWKV-7a): a matrix of each token's own, between the two matrices of a LoRA.
//
//   out[m][j] = sum_i q[m][i] * E[m][i * R + j]
//
// E is the token's row of a table, read as [R][R] (R = 32 in the released models). Source: the public 7a demo code.
#pragma once

#include "core/stream.h"
#include "core/types.h"

namespace riverrun::kernels {

struct TokenMatrixArgs {
  Index M, R;
  const float* q;  // [M, R]
  const float* E;  // [M, R * R]
  void* out;       // [M, R] of out_type; may not overlap the inputs
  DType out_type;  // f32, bf16 or f16
};

using TokenMatrix = void (*)(const TokenMatrixArgs& args, Stream stream);

}  // namespace riverrun::kernels
