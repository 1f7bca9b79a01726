#include <array>

#include "core/error.h"
#include "kernels/reference/table.h"
#if RIVERRUN_WITH_CPU_KERNELS
#include "kernels/cpu/table.h"
#endif
#if RIVERRUN_WITH_CUDA
#include "kernels/cuda/backend.h"
#endif

namespace riverrun::kernels {

namespace {

const KernelTable* cpu_table() {
#if RIVERRUN_WITH_CPU_KERNELS
  return &cpu::table();
#else
  return nullptr;
#endif
}

const KernelTable* cuda_table() {
#if RIVERRUN_WITH_CUDA
  return &cuda::backend();
#else
  return nullptr;
#endif
}

std::string built_names() {
  std::string names;
  for (const auto& backend : known_backends()) {
    if (backend.table != nullptr) names += (names.empty() ? "" : ", ") + std::string(backend.name);
  }
  return names;
}

}  // namespace

std::span<const Backend> known_backends() {
  static const std::array<Backend, 3> kBackends = {{
      {"reference", &reference::table(), "always built"},
      {"cpu", cpu_table(),
       "install oneDNN and Google Highway (Debian: libdnnl-dev libhwy-dev) and configure again"},
      {"cuda", cuda_table(), "install CUDA 13 (nvcc, cuBLAS) and configure again, or use --backend cpu"},
  }};
  return kBackends;
}

const KernelTable& find_backend(const std::string& name) {
  const std::string wanted = name == "auto" ? (cpu_table() != nullptr ? "cpu" : "reference") : name;
  for (const auto& backend : known_backends()) {
    if (wanted != backend.name) continue;
    RR_CHECK_INPUT(backend.table != nullptr, "backend \"", wanted,
                   "\" is not in this build: ", backend.how_to_build, "; built: ", built_names());
    return *backend.table;
  }
  throw InputError(concat("unknown backend \"", name, "\"; this build has: auto, ", built_names()));
}

}  // namespace riverrun::kernels
