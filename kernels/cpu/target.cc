#include "kernels/cpu/target.h"

#include <hwy/highway.h>

#include <cstdlib>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "core/error.h"

namespace riverrun::kernels::cpu {

namespace {

// A target's bit is lower the newer it is.
[[maybe_unused]] void keep_to(const std::string& target, std::int64_t newest, dnnl::cpu_isa isa) {
  RR_CHECK_INPUT(hwy::SupportedTargets() & newest, "RIVERRUN_CPU_TARGET is ", target, ", which this machine does not have");
  hwy::DisableTargets(newest - 1);
  RR_CHECK(dnnl::set_max_cpu_isa(isa) == dnnl::status::success, "oneDNN is not to be kept to ", target,
           ": it was built without this possibility, or has been used before");
}

bool has(dnnl::cpu_isa isa) {
  const auto have = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto need = static_cast<unsigned>(isa);
  return (have & need) == need;  // a set of instruction sets, as bits
}

}  // namespace

void obey_cpu_target() {
  const char* const named = std::getenv("RIVERRUN_CPU_TARGET");
  const std::string target = named == nullptr ? "" : named;
  if (target.empty()) return;
  RR_CHECK_INPUT(target == "avx2" || target == "avx512", "the environment variable RIVERRUN_CPU_TARGET is '", target,
                 "', but can only be avx2 or avx512; unset it for the best that this machine has");
#if HWY_ARCH_X86
  if (target == "avx2") keep_to(target, HWY_AVX2, dnnl::cpu_isa::avx2);
  else keep_to(target, HWY_AVX3, dnnl::cpu_isa::avx512_core);
#else
  throw InputError(concat("RIVERRUN_CPU_TARGET is ", target, ", which this machine does not have"));
#endif
}

bool has_bf16_pairs() { return has(dnnl::cpu_isa::avx512_core_bf16); }
bool has_int8_quads(Index vector_bytes) {
  return (vector_bytes == 64 && has(dnnl::cpu_isa::avx512_core_vnni)) || (vector_bytes == 32 && has(dnnl::cpu_isa::avx2_vnni));
}
bool has_tiles() { return has(dnnl::cpu_isa::avx512_core_amx); }

}  // namespace riverrun::kernels::cpu
