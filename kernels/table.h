// KernelTable: one slot per operation; a backend is one table.
#pragma once

#include <span>
#include <string>

#include "kernels/deep_embed.h"
#include "kernels/draw.h"
#include "kernels/gate.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/readout.h"
#include "kernels/wkv4.h"
#include "kernels/wkv6.h"
#include "kernels/wkv7.h"

namespace riverrun::kernels {

struct KernelTable {
  const char* backend;
  Device* device;  // where it runs; never null
  // Whether this machine multiplies operands of the type, and whether it does so faster than fp32; i8: whether there
  // is pack_int8, which may be null otherwise.
  bool (*multiplies)(DType operand);
  bool (*multiplies_fast)(DType operand);

  PackMatrix pack_matrix;
  PackMatrix pack_int8;
  Matmul matmul;
  LayerNorm layer_norm;
  Embed embed;
  ShiftMix shift_mix;
  DynamicMix dynamic_mix;
  Gate gate;
  GateAdd gate_add;
  TokenMatrix token_matrix;
  Wkv4 wkv4;
  Wkv6Decay wkv6_decay;
  Wkv6 wkv6;
  Wkv6Readout wkv6_readout;
  Wkv7Inputs wkv7_inputs;
  Wkv7 wkv7;
  Wkv7Readout wkv7_readout;
  LogProb log_prob;
  PickLargest pick_largest;
  Draw draw;
  SumRows sum_rows;
};

// Known backends, built or not.
struct Backend {
  const char* name;             // "reference", "cpu", "cuda"
  const KernelTable* table;     // null: not in this build
  const char* how_to_build;
};
std::span<const Backend> known_backends();

// The table of that name. "auto" is the fastest this build has for a machine without a GPU. InputError for an
// unknown name or one that is not in this build, saying how to build it.
const KernelTable& find_backend(const std::string& name);

}  // namespace riverrun::kernels
