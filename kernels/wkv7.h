// WKV-7: the recurrence at the heart of an RWKV-7 time-mix layer, and the element-wise work on either side of it.
//
// One head, one token; S is the state left by the token before (v: value row, k: key column):
//
//   u[v]     = sum_k S[v][k] * a[k]
//   S'[v][k] = S[v][k] * w[k] + u[v] * b[k] + value[v] * key[k]
//   y[v]     = sum_k S'[v][k] * r[k]
//
// Source: "RWKV-7 Goose", arXiv:2503.14456, time mixing. All of it is fp32. Rows are D = H * N wide, head h in
// columns [h * N, (h + 1) * N).
#pragma once

#include "core/stream.h"
#include "core/types.h"
#include "kernels/phase.h"
#include "kernels/segment.h"

namespace riverrun::kernels {

// From the projections to the operands of the recurrence:
//
//   w = exp(-e^{-1/2} * sigmoid(w0 + w))                     decay factor, in (0.545, 1)
//   rate = sigmoid(a0 + a)                                   in-context learning rate
//   kk = k * k_k, per head divided by max(norm2(kk), 1e-12)  removal key, from k before its update
//   a = -kk;   b = kk * rate;   k = k * (1 + (rate - 1) * k_a)
//   v = v + (v_first - v) * sigmoid(v0 + v_mix)              every layer but the first
//
// w, k, v are updated in place; a and b are written.
struct Wkv7InputsArgs {
  Index M, H, N;
  float* w;              // [M, D] in: LoRA output; out: decay factor
  float* k;              // [M, D]
  float* v;              // [M, D]
  float* a;              // [M, D] in: LoRA output; out: minus the removal key
  float* b;              // [M, D] out
  const float* v_mix;    // [M, D] LoRA output, or null: v stays (layer 0)
  const float* v_first;  // [M, D] values of layer 0; null exactly when v_mix is
  const float* w0;       // [D]
  const float* a0;       // [D]
  const float* v0;       // [D], null exactly when v_mix is
  const float* k_k;      // [D]
  const float* k_a;      // [D]
};

struct Wkv7Args {
  Index M, H, N;
  Index first_head, heads;  // the range of heads that this call computes: others are left alone
  const float* r;           // [M, D] receptance
  const float* w;           // [M, D] decay factor per token
  const float* k;           // [M, D]
  const float* v;           // [M, D]
  const float* a;           // [M, D]
  const float* b;           // [M, D]
  float* y;                 // [M, D]: columns of the range are written; may not overlap the inputs
  Index segment_count;
  const Segment* segments;
  const float* const* state_in;  // per segment: [heads, N, N] as [head][value][key], or null: zeros
  float* const* state_out;       // per segment, same layout, or null: not wanted; may be the same memory as state_in.
                                 // An empty segment copies state_in.
  Phase phase = Phase::prefill;
  // What the model multiplies its matrices in, and how exactly products with and within a chunk of tokens have to be formed: f32 to
  // 2^-22; bf16 and f16 from operands that may be rounded to fp16, its range included: |a| and |b| are at most 1; k and r times the
  // decays of up to 8 tokens or one over them, products of 16 of their rows, and v are at most 65504; u is at most 2000 times the largest
  // of the state and v, and the state at most 2^30. What is not makes y no number. Below 2^-14, or 2^-18 of the largest of the state, digits
  // are lost. States, decays and sums are fp32 in any case. Backends that compute token by token, as those for the CPU do, compute in fp32
  // whatever stands here.
  DType operand = DType::f32;
};

// After the recurrence: group norm per head, bonus, gate.
//
//   z = GN(y; ln_x)  +  (sum_n r[n] * k[n] * r_k[n]) * v     per head;     out = z * g
//
// GN uses the population variance of the N values of a head, and `eps` (64e-5 in the released models).
struct Wkv7ReadoutArgs {
  Index M, H, N;
  const float* y;       // [M, D]
  const float* r;       // [M, D]
  const float* k;       // [M, D] after Wkv7Inputs
  const float* v;       // [M, D] after Wkv7Inputs
  const float* g;       // [M, D] gate
  const float* r_k;     // [H, N]
  const float* weight;  // [D] ln_x
  const float* bias;    // [D] ln_x
  float eps;
  void* out;            // [M, D] of out_type
  DType out_type;       // f32, bf16 or f16
};

using Wkv7Inputs = void (*)(const Wkv7InputsArgs& args, Stream stream);
using Wkv7 = void (*)(const Wkv7Args& args, Stream stream);
using Wkv7Readout = void (*)(const Wkv7ReadoutArgs& args, Stream stream);

}  // namespace riverrun::kernels
