// A model that finds its weights packed by another load computes the same bits as one that packed them itself, whatever
// way its tensors take from the file.

#include "core/shared_weights.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "core/error.h"
#include "tests/support/forward.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

class SharedModelTest : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<model::Model> load(const std::string& path, WeightStorage& storage, const std::string& precision = "fp32",
                                     const std::string& weights = "auto") {
    model::LoadOptions options{precision, true, "", weights};
    options.storage = &storage;
    return model::load_model(path, kernels::find_backend(GetParam()), stream_, options);
  }

  test::Forward run(const model::Model& model) {
    std::vector<TokenId> tokens;
    for (Index t = 0; t < 24; ++t) tokens.push_back(static_cast<TokenId>(t * 37 % model.config().vocab));
    model::State state(model.state_shape());
    return test::forward(model, tokens, {static_cast<Index>(tokens.size())}, state, stream_, true);
  }

  void check(const std::string& path, const std::string& weights = "auto") {
    SCOPED_TRACE(concat(path, ", weights ", weights));
    SharedWeightsWriter writer;
    const auto packed = load(path, writer, "fp32", weights);
    writer.publish();
    SharedWeightsReader reader(writer.address());
    reader.read_contents();
    const auto found = load(path, reader, "fp32", weights);
    reader.check_all_taken();
    const auto own = load(path, private_weights(), "fp32", weights);
    EXPECT_EQ(found->weight_bytes(), own->weight_bytes());
    const auto expected = run(*own);
    for (const auto* model : {packed.get(), found.get()}) {
      const auto shared = run(*model);
      EXPECT_EQ(shared.hidden, expected.hidden);
      EXPECT_EQ(shared.log_probs, expected.log_probs);
    }
  }

  void SetUp() override {
    for (const auto& backend : kernels::known_backends()) {
      if (std::string(backend.name) == GetParam() && !backend.table) GTEST_SKIP() << backend.how_to_build;
    }
  }

  std::string random_model(const std::string& generation) {
    const std::string path = concat("shared_", ::getpid(), "_", generation, ".safetensors");
    checkpoint::write_random_model(path, test::small_shape(generation));
    return path;
  }

  ThreadPool pool_{2};
  const Stream stream_ = host_stream(pool_);
};

TEST_P(SharedModelTest, EveryGeneration) {
  for (const char* generation : {"rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"}) {
    const std::string path = random_model(generation);
    check(path);
    check(path, "int8");
    std::remove(path.c_str());
  }
}

// Transposed, fused and quantised tensors are not packed straight from the file.
TEST_P(SharedModelTest, EveryWayOutOfAFile) {
  for (const char* file : {"gguf/rwkv7-mixed.gguf", "gguf/rwkv6-mixed.gguf", "containers/fla", "containers/views_legacy.pth",
                           "containers/web_v6.st", "containers/transformers_v4"}) {
    check(concat(RIVERRUN_TEST_DATA, "/", file));
    check(concat(RIVERRUN_TEST_DATA, "/", file), "int8");
  }
}

TEST_P(SharedModelTest, AnotherModelPrecisionOrTypeOfWeightsIsAnError) {
  const std::string six = random_model("rwkv6"), seven = random_model("rwkv7");
  SharedWeightsWriter writer;
  (void)load(seven, writer);
  writer.publish();
  const auto take = [&](const std::string& path, const std::string& precision, const std::string& weights = "auto") {
    SharedWeightsReader reader(writer.address());
    reader.read_contents();
    return load(path, reader, precision, weights);
  };
  EXPECT_NE(take(seven, "fp32"), nullptr);
  EXPECT_THROW(take(six, "fp32"), Error);
  EXPECT_THROW(take(seven, "fp32", "int8"), Error);
  if (kernels::find_backend(GetParam()).multiplies(DType::bf16)) {
    EXPECT_THROW(take(seven, "bf16"), Error);
  }
  std::remove(six.c_str()), std::remove(seven.c_str());
}

INSTANTIATE_TEST_SUITE_P(All, SharedModelTest, testing::Values("reference", "cpu"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace riverrun
