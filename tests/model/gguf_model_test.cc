// A model read from GGUF computes what the same weights under official names compute, bit for bit: what the file
// stores transposed, stacked or quantised takes other ways into the kernels than what it stores plainly.

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/forward.h"
#include "tests/support/golden.h"

namespace riverrun {
namespace {

struct Case {
  const char* name;
  const char* gguf;
  const char* official;
  const char* backend;
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.gguf << " " << c.backend; }

class GgufModelTest : public testing::TestWithParam<Case> {
 protected:
  test::Forward run(const std::string& file) {
    const std::string path = concat(RIVERRUN_TEST_DATA, "/", file);
    const auto model = model::load_model(path, kernels::find_backend(GetParam().backend), stream_, {"fp32", true});
    std::vector<TokenId> tokens;
    for (Index t = 0; t < 70; ++t) tokens.push_back(static_cast<TokenId>(t * 37 % model->config().vocab));
    model::State state(model->state_shape());
    return test::forward(*model, tokens, {static_cast<Index>(tokens.size())}, state, stream_, true);
  }

  ThreadPool pool_{2};
  Stream stream_{DeviceKind::cpu, &pool_, nullptr};
};

TEST_P(GgufModelTest, ComputesWhatTheOfficialTensorsCompute) {
  for (const auto& backend : kernels::known_backends()) {
    if (std::string(backend.name) == GetParam().backend && !backend.table) GTEST_SKIP() << backend.how_to_build;
  }
  const auto expected = run(GetParam().official), found = run(GetParam().gguf);
  EXPECT_EQ(found.hidden, expected.hidden);
  EXPECT_EQ(found.log_probs, expected.log_probs);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* const backend : {"reference", "cpu"}) {
    all.push_back({"golden7", "gguf/v7.gguf", "v7/model.pth", backend});
    all.push_back({"f32_7", "gguf/rwkv7-f32.gguf", "gguf/rwkv7-f32.safetensors", backend});
    all.push_back({"f32_6", "gguf/rwkv6-f32.gguf", "gguf/rwkv6-f32.safetensors", backend});
    all.push_back({"mixed_6", "gguf/rwkv6-mixed.gguf", "gguf/rwkv6-mixed.safetensors", backend});
    all.push_back({"mixed_7", "gguf/rwkv7-mixed.gguf", "gguf/rwkv7-mixed.safetensors", backend});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, GgufModelTest, testing::ValuesIn(cases()), [](const auto& test) {
  return std::string(test.param.name) + "_" + test.param.backend;
});

}  // namespace
}  // namespace riverrun
