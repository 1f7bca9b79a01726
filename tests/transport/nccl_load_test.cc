// The real NCCL is found and has what is called of it. One rank needs no GPU for that, only a device that passes for one.
#include <gtest/gtest.h>

#include "kernels/table.h"
#include "tests/support/deferred_kernels.h"
#include "transport/ranks.h"

namespace riverrun::transport {
namespace {

TEST(NcclLibrary, IsLoaded) {
  Options options;
  options.device = test::deferred(kernels::find_backend("reference")).device;
  bool ran = false;
  EXPECT_EQ(run_nccl(options, [&](Transport& transport) {
    EXPECT_STREQ(transport.name(), "nccl");
    EXPECT_EQ(transport.size(), 1);
    ran = true;
    return 0;
  }), 0);
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace riverrun::transport
