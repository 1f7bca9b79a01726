#include "backend.h"

#include "device.h"
#include "kernels/cuda/table.h"

namespace riverrun::cuda_emulator {

const kernels::KernelTable& table() {
  static const kernels::KernelTable kTable = [] {
    auto emulated = kernels::cuda::table_on(device());
    emulated.backend = "cuda_emulated";
    return emulated;
  }();
  return kTable;
}

}  // namespace riverrun::cuda_emulator
