// A build without the JSON package names what is missing.
#include "support.h"

namespace riverrun::checkpoint {
namespace {

TEST(JsonMissing, SaysHowToBuildIt) {
  try {
    open_checkpoint(golden("checkpoint/types.safetensors"));
    FAIL() << "was read";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("nlohmann"), std::string::npos) << error.what();
    EXPECT_EQ(error.code(), ExitCode::failed);
  }
}

}  // namespace
}  // namespace riverrun::checkpoint
