#include "kernels/cpu/target.h"

#include <hwy/highway.h>

#include <cstdlib>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "core/error.h"

namespace riverrun::kernels::cpu {

void obey_cpu_target() {
  const char* const named = std::getenv("RIVERRUN_CPU_TARGET");
  const std::string target = named == nullptr ? "" : named;
  if (target.empty()) return;
  RR_CHECK_INPUT(target == "avx2", "the environment variable RIVERRUN_CPU_TARGET is '", target,
                 "', but can only be avx2; unset it for the best that this machine has");
#if HWY_ARCH_X86
  RR_CHECK_INPUT(hwy::SupportedTargets() & HWY_AVX2, "RIVERRUN_CPU_TARGET is avx2, which this machine does not have");
  hwy::DisableTargets(HWY_AVX2 - 1);  // a target's bit is lower the newer it is
  RR_CHECK(dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2) == dnnl::status::success, "oneDNN is not to be kept to AVX2: it was built without ",
           "this possibility, or has been used before");
#else
  throw InputError("RIVERRUN_CPU_TARGET is avx2, which this machine does not have");
#endif
}

}  // namespace riverrun::kernels::cpu
