// Products of two activations, element by element: the gates of RWKV-4 to 6 and of DeepEmbed.
#pragma once

#include "core/stream.h"
#include "core/types.h"

namespace riverrun::kernels {

// out = a * (b + bias)
struct GateArgs {
  Index M, D;
  const float* a;     // [M, D]
  const float* b;     // [M, D]
  const float* bias;  // [D], or null: zeros
  void* out;          // [M, D] of out_type; may be the memory of a or b when out_type is f32
  DType out_type;     // f32, bf16 or f16
};

// x += a * b
struct GateAddArgs {
  Index M, D;
  const float* a;  // [M, D]
  const float* b;  // [M, D]
  float* x;        // [M, D]
};

using Gate = void (*)(const GateArgs& args, Stream stream);
using GateAdd = void (*)(const GateAddArgs& args, Stream stream);

}  // namespace riverrun::kernels
