// WKV-6: the recurrence of RWKV-5 and RWKV-6 time mix, and the element-wise work on either side of it.
//
// One head, one token; S is the state left by the token before (v: value row, k: key column):
//
//   y[v]     = sum_k r[k] * (S[v][k] + u[k] * key[k] * value[v])
//   S'[v][k] = S[v][k] * w[k] + value[v] * key[k]
//
// In RWKV-6 the decay factor w is a token's own; in RWKV-5 every token has the same. Source: "Eagle and Finch",
// arXiv:2404.05892, time mixing. All of it is fp32. Rows are D = H * N wide, head h in columns [h * N, (h + 1) * N).
#pragma once

#include "core/stream.h"
#include "core/types.h"
#include "kernels/phase.h"
#include "kernels/segment.h"

namespace riverrun::kernels {

// w = exp(-exp(w0 + w)), the decay factor, in place. It lies in [0, 1]: unlike WKV-7's it has no lower bound.
struct Wkv6DecayArgs {
  Index M, D;
  float* w;         // [M, D] in: LoRA output; out: decay factor
  const float* w0;  // [D]
};

struct Wkv6Args {
  Index M, H, N;
  Index first_head, heads;  // the range of heads that this call computes: others are left alone
  const float* r;           // [M, D] receptance
  const float* w;           // decay factor: [M, D], or [D] when w_stride is 0
  Index w_stride;           // D: a row of w per token; 0: the same row for all
  const float* k;           // [M, D]
  const float* v;           // [M, D]
  const float* u;           // [D] bonus of the present token
  float* y;                 // [M, D]: columns of the range are written; may not overlap the inputs
  Index segment_count;
  const Segment* segments;
  const float* const* state_in;  // per segment: [heads, N, N] as [head][value][key], or null: zeros
  float* const* state_out;       // per segment, same layout, or null: not wanted; may be the same memory as state_in.
                                 // An empty segment copies state_in.
  Phase phase = Phase::prefill;
  // What the model multiplies its matrices in, and how exactly products with and within a chunk of tokens have to be formed: f32 to
  // 2^-22; bf16 and f16 from operands that may be rounded to TF32, 2^-11 of them at most. States, decays and sums are fp32 in
  // any case. Backends that compute token by token, as those for the CPU do, compute in fp32 whatever stands here.
  DType operand = DType::f32;
};

// out = GN(y; ln_x) * g, with the group norm of Wkv7ReadoutArgs and no bonus; g null means 1 (RWKV-5.0).
struct Wkv6ReadoutArgs {
  Index M, H, N;
  const float* y;       // [M, D]
  const float* g;       // [M, D] gate, or null
  const float* weight;  // [D] ln_x
  const float* bias;    // [D] ln_x
  float eps;
  void* out;            // [M, D] of out_type
  DType out_type;       // f32, bf16 or f16
};

using Wkv6Decay = void (*)(const Wkv6DecayArgs& args, Stream stream);
using Wkv6 = void (*)(const Wkv6Args& args, Stream stream);
using Wkv6Readout = void (*)(const Wkv6ReadoutArgs& args, Stream stream);

}  // namespace riverrun::kernels
