#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {
bool multiplies(DType operand) {
  return operand == DType::f32 || operand == DType::bf16 || operand == DType::f16;
}
bool multiplies_fast(DType operand) { return operand == DType::bf16 || operand == DType::f16; }
}  // namespace

KernelTable table_on(Device& device) {
  return {
      .backend = "cuda",
      .device = &device,
      .multiplies = multiplies,
      .multiplies_fast = multiplies_fast,
      .pack_matrix = pack_matrix,
      .pack_int8 = nullptr,
      .matmul = matmul,
      .layer_norm = layer_norm,
      .embed = embed,
      .shift_mix = shift_mix,
      .dynamic_mix = dynamic_mix,
      .gate = gate,
      .gate_add = gate_add,
      .token_matrix = token_matrix,
      .wkv4 = wkv4,
      .wkv6_decay = wkv6_decay,
      .wkv6 = wkv6,
      .wkv6_readout = wkv6_readout,
      .wkv7_inputs = wkv7_inputs,
      .wkv7 = wkv7,
      .wkv7_readout = wkv7_readout,
      .log_prob = log_prob,
      .pick_largest = pick_largest,
      .draw = draw,
      .sum_rows = sum_rows,
  };
}

}  // namespace riverrun::kernels::cuda
