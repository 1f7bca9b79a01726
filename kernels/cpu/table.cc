#include "kernels/cpu/table.h"

#include "kernels/cpu/target.h"

namespace riverrun::kernels::cpu {

const KernelTable& table() {
  static const KernelTable kTable = (obey_cpu_target(), KernelTable{
      .backend = "cpu",
      .device = &host_device(),
      .multiplies = multiplies,
      .multiplies_fast = multiplies_fast,
      .pack_matrix = pack_matrix,
      .pack_int8 = pack_int8,
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
  });
  return kTable;
}

}  // namespace riverrun::kernels::cpu
