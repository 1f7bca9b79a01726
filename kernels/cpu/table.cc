#include "kernels/cpu/table.h"

namespace riverrun::kernels::cpu {

const KernelTable& table() {
  static const KernelTable kTable = {"cpu",  DeviceKind::cpu, multiplies, multiplies_fast, pack_matrix,
                                     matmul, layer_norm,      embed,      shift_mix,       wkv7_inputs,
                                     wkv7,   wkv7_readout,    log_prob,   sum_rows};
  return kTable;
}

}  // namespace riverrun::kernels::cpu
