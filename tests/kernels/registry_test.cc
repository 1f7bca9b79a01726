// Backends are found by name; a name that is unknown or not built is an error that says what to do.
#include <filesystem>

#include "support.h"

namespace riverrun::kernels {
namespace {

TEST(Registry, FindsEveryBuiltBackendByItsName) {
  for (const auto& backend : known_backends()) {
    if (backend.table == nullptr) continue;
    EXPECT_EQ(&find_backend(backend.name), backend.table);
    EXPECT_STREQ(backend.table->backend, backend.name);
  }
}

TEST(Registry, AutoIsTheFastestBackendOfTheBuild) {
  const bool has_cpu = known_backends()[1].table != nullptr;
  EXPECT_STREQ(find_backend("auto").backend, has_cpu ? "cpu" : "reference");
}

TEST(Registry, SaysWhichBackendsThereAreAndHowToBuildTheOthers) {
  for (const std::string name : {"", "CPU", "tpu"}) {
    EXPECT_THROW(find_backend(name), InputError) << name;
  }
  for (const auto& backend : known_backends()) {
    if (backend.table != nullptr) continue;
    try {
      find_backend(backend.name);
      FAIL() << backend.name;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(backend.how_to_build), std::string::npos) << error.what();
    }
  }
}

// A build with CUDA runs anywhere: without a GPU it says so, and with one the libraries it needs are found.
TEST(Registry, ABackendForAGpuSaysThatThereIsNone) {
  const KernelTable* const cuda = known_backends()[2].table;
  if (cuda == nullptr) GTEST_SKIP() << known_backends()[2].how_to_build;
  try {
    cuda->device->require(0);
    EXPECT_TRUE(std::filesystem::exists("/dev/nvidiactl")) << "nothing was said";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("no GPU that can be used"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace riverrun::kernels
