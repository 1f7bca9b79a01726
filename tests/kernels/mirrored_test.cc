// A mirrored table gives kernels memory of their device, brings back what they write, and sees what they write beside it.
#include "mirrored.h"

#include <algorithm>

#include "core/error.h"
#include "cuda_emulator/backend.h"
#include "support.h"

namespace riverrun::kernels {
namespace {

const float* host_a = nullptr;

// Doubles b into x, in place when they are the same; D says what goes wrong.
void strange_gate_add(const GateAddArgs& args, Stream) {
  EXPECT_NE(args.a, host_a);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(args.a) % 64, reinterpret_cast<std::uintptr_t>(host_a) % 64);
  for (Index i = 0; i < args.M * args.D; ++i) args.x[i] = 2 * args.b[i];
  if (args.D == 3) args.x[args.M * args.D] = 0;
  if (args.D == 5) args.x[-1] = 0;
  if (args.D == 7) const_cast<float*>(args.a)[args.M * args.D] = 0;
}

TEST(Mirrored, BringsBackWhatIsWrittenAndRefusesWhatIsWrittenBeside) {
  static const KernelTable kStrange = [] {
    KernelTable table = cuda_emulator::table();
    table.gate_add = strange_gate_add;
    return table;
  }();
  const KernelTable& table = mirrored(kStrange);
  Threads pool(1);
  for (const Index D : {1, 2, 3, 5, 7}) {
    std::vector<float> a(static_cast<std::size_t>(2 * D), 1.0f), x(a.size() + 2, 3.0f);
    host_a = a.data();
    const auto run = [&] { table.gate_add({2, D, a.data(), x.data() + 1, x.data() + 1}, pool); };
    if (D > 2) {
      EXPECT_THROW(run(), Error) << D;
      continue;
    }
    run();
    EXPECT_TRUE(std::all_of(x.begin() + 1, x.end() - 1, [](float value) { return value == 6; })) << D;
    EXPECT_EQ(x.front(), 3);
    EXPECT_EQ(x.back(), 3);
  }
}

}  // namespace
}  // namespace riverrun::kernels
