// A model read from GGUF, another container or under other names computes what the same weights under official names
// compute, bit for bit: what a file stores transposed, stacked or quantised takes other ways into the kernels than
// what it stores plainly.

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/thread_pool.h"
#include "tests/support/forward.h"
#include "tests/support/golden.h"

namespace riverrun {
namespace {

struct Case {
  const char* name;
  const char* file;
  const char* official;
  const char* backend;
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.file << " " << c.backend; }

test::Forward run(const std::string& file, const std::string& backend) {
  ThreadPool pool(2);
  const Stream stream = host_stream(pool);
  const std::string path = concat(RIVERRUN_TEST_DATA, "/", file);
  const auto model = model::load_model(path, kernels::find_backend(backend), stream, {"fp32", true});
  std::vector<TokenId> tokens;
  for (Index t = 0; t < 70; ++t) tokens.push_back(static_cast<TokenId>(t * 37 % model->config().vocab));
  model::State state(model->state_shape());
  return test::forward(*model, tokens, {static_cast<Index>(tokens.size())}, state, stream, true);
}

class SameWeightsTest : public testing::TestWithParam<Case> {};

TEST_P(SameWeightsTest, ComputesWhatTheOfficialTensorsCompute) {
  for (const auto& backend : kernels::known_backends()) {
    if (std::string(backend.name) == GetParam().backend && !backend.table) GTEST_SKIP() << backend.how_to_build;
  }
  const auto expected = run(GetParam().official, GetParam().backend);
  const auto found = run(GetParam().file, GetParam().backend);
  EXPECT_EQ(found.hidden, expected.hidden);
  EXPECT_EQ(found.log_probs, expected.log_probs);
}

// The embedding in the file is rounded to bf16 after ln0, so results are near, not equal; applied twice, ln0 would
// change them by more than their own size.
TEST(SameWeights, AnEmbeddingThatIsNormalizedInTheFileIsNotNormalizedAgain) {
  const auto expected = run("containers/zip.pth", "reference"), found = run("containers/rwkv_rs_fused", "reference");
  ASSERT_EQ(found.hidden.size(), expected.hidden.size());
  for (std::size_t i = 0; i < found.hidden.size(); ++i) EXPECT_NEAR(found.hidden[i], expected.hidden[i], 0.05) << i;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* const backend : {"reference", "cpu"}) {
    all.push_back({"golden7", "gguf/v7.gguf", "v7/model.pth", backend});
    all.push_back({"f32_7", "gguf/rwkv7-f32.gguf", "gguf/rwkv7-f32.safetensors", backend});
    all.push_back({"f32_6", "gguf/rwkv6-f32.gguf", "gguf/rwkv6-f32.safetensors", backend});
    all.push_back({"mixed_6", "gguf/rwkv6-mixed.gguf", "gguf/rwkv6-mixed.safetensors", backend});
    all.push_back({"mixed_7", "gguf/rwkv7-mixed.gguf", "gguf/rwkv7-mixed.safetensors", backend});
    all.push_back({"views", "containers/views_legacy.pth", "containers/zip.pth", backend});
    all.push_back({"sharded", "containers/sharded", "containers/zip.pth", backend});
    all.push_back({"transformers_7", "containers/transformers_v7", "containers/zip.pth", backend});
    all.push_back({"fla", "containers/fla", "containers/zip.pth", backend});
    all.push_back({"fla_old", "containers/fla_old.safetensors", "containers/zip.pth", backend});
    all.push_back({"rwkv_rs", "containers/rwkv_rs", "containers/zip.pth", backend});
    all.push_back({"world_hf", "containers/world_hf.safetensors", "containers/zip.pth", backend});
    all.push_back({"web_7", "containers/web_v7.st", "containers/zip.pth", backend});
    all.push_back({"web_6", "containers/web_v6.st", "containers/v6.pth", backend});
    all.push_back({"transformers_6", "containers/hub_v6.safetensors", "containers/v6.pth", backend});
    all.push_back({"transformers_4", "containers/transformers_v4", "containers/v4.pth", backend});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, SameWeightsTest, testing::ValuesIn(cases()), [](const auto& test) {
  return std::string(test.param.name) + "_" + test.param.backend;
});

}  // namespace
}  // namespace riverrun
