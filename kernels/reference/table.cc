#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

namespace {
bool multiplies(DType operand) {
  return operand == DType::f32 || operand == DType::bf16 || operand == DType::f16;
}
bool multiplies_fast(DType) { return false; }
}  // namespace

const KernelTable& table() {
  static const KernelTable kTable = {"reference", DeviceKind::cpu, multiplies, multiplies_fast, pack_matrix,
                                     matmul,      layer_norm,      embed,      shift_mix,       wkv7_inputs,
                                     wkv7,        wkv7_readout,    log_prob,   sum_rows};
  return kTable;
}

}  // namespace riverrun::kernels::reference
