#include "support.h"

#include <cstdlib>

#include "core/error.h"
#include "mirrored.h"
#include "tests/support/backends.h"
#if RIVERRUN_WITH_CPU_KERNELS
#include <hwy/targets.h>
#endif

namespace riverrun::kernels {

void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

namespace {
const char* mirrored_backend() { return std::getenv("RIVERRUN_TEST_MIRRORED"); }
}  // namespace

std::vector<Variant> fast_variants() {
  if (const char* const backend = mirrored_backend()) return {{backend, backend, Variant::Target::mirrored}};
  std::vector<Variant> variants;
#if RIVERRUN_WITH_CPU_KERNELS
  variants.push_back({"cpu", "cpu", Variant::Target::any});
#if defined(__x86_64__)
  static const bool has_avx2 = hwy::SupportedTargets() & HWY_AVX2;  // before anything is selected
  if (has_avx2) variants.push_back({"cpu_avx2", "cpu", Variant::Target::avx2});
  variants.push_back({"cpu_portable", "cpu", Variant::Target::portable});
#endif
#endif
#if RIVERRUN_WITH_CUDA_EMULATOR
  variants.push_back({"cuda_emulated", "cuda_emulated", Variant::Target::emulated});
#endif
  return variants;
}

std::vector<Variant> all_variants() {
  auto variants = fast_variants();
  if (mirrored_backend() != nullptr) return variants;
  variants.insert(variants.begin(), {"reference", "reference", Variant::Target::any});
  return variants;
}

const KernelTable& select(const Variant& variant) {
  if (variant.target == Variant::Target::mirrored) {
    const KernelTable* const table = test::backend(variant.backend);
    RR_CHECK_INPUT(table != nullptr, "RIVERRUN_TEST_MIRRORED: ", variant.backend, " is not in this build");
    return mirrored(*table);
  }
#if RIVERRUN_WITH_CUDA_EMULATOR
  if (variant.target == Variant::Target::emulated) return cuda_emulator::table();
#endif
#if RIVERRUN_WITH_CPU_KERNELS
  const bool avx2 = variant.target == Variant::Target::avx2,
             portable = variant.target == Variant::Target::portable;
  hwy::SetSupportedTargetsForTest(avx2 ? HWY_AVX2 : portable ? HWY_SCALAR : 0);  // 0: what the CPU has
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
#endif
  return find_backend(variant.backend);
}

void expect_near(const std::vector<float>& got, const std::vector<float>& expected, double absolute,
                 double relative, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double most = absolute + relative * std::abs(expected[i]);
    ASSERT_LE(std::abs(double{got[i]} - expected[i]), most)
        << what << ", element " << i << ": " << got[i] << " for " << expected[i];
  }
}

}  // namespace riverrun::kernels
