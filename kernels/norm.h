// LayerNorm and what is fused with it: the embedding in front, token shift and lerps behind.
//
//   LN(x)[d] = (x[d] - mean) / sqrt(variance + eps) * weight[d] + bias[d]      population variance, all fp32
//
// All of them give a row the same bits, whatever the other rows of the call are.
#pragma once

#include "core/stream.h"
#include "core/types.h"
#include "kernels/segment.h"

namespace riverrun::kernels {

struct LayerNormArgs {
  Index M, D;
  const float* x;       // [M, D]
  const float* weight;  // [D]
  const float* bias;    // [D]
  float eps;
  void* y;              // [M, D] of y_type; may not overlap x
  DType y_type;         // f32, bf16 or f16
};

// x[m] = LN(table[ids[m]]): the start of every RWKV model (ln0). Without weight and bias, x[m] = table[ids[m]].
struct EmbedArgs {
  Index M, D, V;
  const TokenId* ids;   // [M], each in [0, V): checked before by the caller
  const void* table;    // [V, D] of table_type
  DType table_type;     // f32, bf16 or f16
  const float* weight;  // [D], or null: no norm
  const float* bias;    // [D], null exactly when weight is
  float eps;
  float* x;             // [M, D]
};

// LayerNorm, token shift, and several lerps between a token's row and the one before it:
//
//   n[t] = LN(x[t]);   out[q][t] = n[t] + (n[t-1] - n[t]) * mu[q]        for q in [0, mixes)
//
// n before a segment's first row is the row handed over, or zeros. mu weights the PREVIOUS token (RWKV-6 and 7;
// RWKV-4 and 5 store the weight of the current one: pass 1 - mu).
struct ShiftMixArgs {
  Index M, D;
  const float* x;       // [M, D] residual stream
  const float* weight;  // [D]
  const float* bias;    // [D]
  float eps;
  Index segment_count;
  const Segment* segments;
  const float* const* rows_in;  // per segment: n of the token before it [D], or null: zeros
  float* const* rows_out;       // per segment: receives n of its last token [D], or null: not wanted. An empty
                                // segment copies rows_in (or zeros). May be the same memory as rows_in.
  Index mixes;
  const float* const* mu;       // [mixes] of [D]
  void* const* out;             // [mixes] of [M, D] of out_type
  DType out_type;               // f32, bf16 or f16
  // For the data-dependent lerps of RWKV-6 (DynamicMix); null: not wanted.
  float* normal = nullptr;      // [M, D] receives n[t]
  float* change = nullptr;      // [M, D] receives n[t-1] - n[t]
};

// Lerps whose weights depend on the token (RWKV-6), from what ShiftMix left:
//
//   out[q] = normal + change * (mu[q] + delta[q])        for q in [0, mixes)
struct DynamicMixArgs {
  Index M, D;
  const float* normal;          // [M, D]
  const float* change;          // [M, D]
  Index mixes;
  const float* const* mu;       // [mixes] of [D]
  const float* const* delta;    // [mixes] of [M, D]
  void* const* out;             // [mixes] of [M, D] of out_type; may not overlap the inputs
  DType out_type;               // f32, bf16 or f16
};

using LayerNorm = void (*)(const LayerNormArgs& args, Stream stream);
using Embed = void (*)(const EmbedArgs& args, Stream stream);
using ShiftMix = void (*)(const ShiftMixArgs& args, Stream stream);
using DynamicMix = void (*)(const DynamicMixArgs& args, Stream stream);

}  // namespace riverrun::kernels
