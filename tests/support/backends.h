// Tables of kernels by name, those that only tests have included.
#pragma once

#include "kernels/table.h"
#if RIVERRUN_WITH_CUDA_EMULATOR
#include "cuda_emulator/backend.h"
#endif

namespace riverrun::test {

// Null when the backend is not in this build. "cuda_emulated" runs the CUDA kernels on the CPU.
inline const kernels::KernelTable* backend(const std::string& name) {
#if RIVERRUN_WITH_CUDA_EMULATOR
  if (name == "cuda_emulated") return &cuda_emulator::table();
#endif
  for (const auto& known : kernels::known_backends()) {
    if (name == known.name) return known.table;
  }
  return nullptr;
}

}  // namespace riverrun::test
