// The cases of all transports over NCCL, which is emulated, so that a machine without a GPU guards everything around it.
#include <gtest/gtest.h>

#include "tests/support/nccl_emulator/emulator.h"
#include "tests/transport/process_cases.h"
#include "transport/ranks.h"

int main(int argc, char** argv) {
  using namespace riverrun;
  testing::InitGoogleTest(&argc, argv);
  testing::GTEST_FLAG(throw_on_failure) = false;
  transport::Options options;
  options.device = &nccl_emulator::gpu();
  const int code = transport::run_nccl(options, [](transport::Transport& transport) { return transport::run_all_tests(transport, false); });
  if (nccl_emulator::open_communicators() == 0) return code;
  std::fprintf(stderr, "%d communicators were not destroyed\n", nccl_emulator::open_communicators());
  return 1;
}
