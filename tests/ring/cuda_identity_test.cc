// The promise of the ring on the CUDA backend: for one block size, a document's results are the same bits for any number of
// ranks, alone or beside others, and so are the texts of the decoder. On a GPU, and on the emulator where there is none.

#include <gtest/gtest.h>

#include "generate/decoder.h"
#include "tests/support/backends.h"
#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

// Shorter and longer than a block of 64, a multiple of it, a single token behind it.
test::Corpus corpus() { return test::random_corpus({40, 130, 1, 64, 65, 7}); }

struct Case {
  const char *generation, *precision;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.generation << " " << c.precision; }

class CudaIdentityTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    ASSERT_NE(kernels_, nullptr);
    kernels_->device->require(0);
    model_ = test::make_small_model(*kernels_, GetParam().precision, test::small_shape(GetParam().generation));
    run_.request = test::everything();
  }
  std::vector<test::DocumentResult> results(const test::Corpus& documents, int ranks) {
    run_.ranks = ranks;
    return test::run_corpus(documents, *model_, *kernels_, run_);
  }

  const kernels::KernelTable* kernels_ = test::backend(RIVERRUN_TEST_BACKENDS);
  std::unique_ptr<model::Model> model_;
  test::RingRun run_;
};

TEST_P(CudaIdentityTest, RanksAndNeighboursChangeNoBit) {
  const auto expected = results(corpus(), 1), on_three = results(corpus(), 3);
  for (std::size_t d = 0; d < expected.size(); ++d) {
    EXPECT_TRUE(same_bits(on_three[d], expected[d])) << "document " << d << " on three ranks";
    EXPECT_TRUE(same_bits(results({corpus()[d]}, 1)[0], expected[d])) << "document " << d << " alone";
  }
}

// The prompts together are more than a step takes in: where they are cut depends on what is written beside them.
TEST_P(CudaIdentityTest, TextsAreTheSameBesideOthers) {
  const auto texts = [&](Index slots) {
    ThreadPool pool(1);
    const OwnStream stream(model_->device(), pool);
    generate::Settings settings;
    settings.sampling.temperature = 1;
    settings.end.max_tokens = 4;
    generate::Decoder decoder(*model_, settings, [](TokenId token) { return concat("<", token, ">"); }, slots, stream);
    for (Index number = 0; number < 3; ++number) {
      auto state = std::make_unique<model::State>(model_->make_state());
      std::ranges::copy(model_->initial_state().values(), state->values().begin());
      decoder.add({number, std::move(state), test::random_tokens(90 + 10 * number, unsigned(number)),
                   generate::Draws(0, generate::document_key(""), number)});
    }
    std::vector<generate::Text> finished;
    while (decoder.waiting() + decoder.writing() > 0) decoder.step(finished);
    std::ranges::sort(finished, {}, &generate::Text::number);
    return finished;
  };
  const auto alone = texts(1), together = texts(3);
  ASSERT_EQ(alone.size(), together.size());
  for (std::size_t i = 0; i < alone.size(); ++i) EXPECT_EQ(alone[i].tokens, together[i].tokens) << "text " << i;
}

INSTANTIATE_TEST_SUITE_P(All, CudaIdentityTest,
                         testing::Values(Case{"rwkv7", "fp32"}, Case{"rwkv7", "bf16"}, Case{"rwkv6", "fp32"}, Case{"rwkv4", "fp32"}),
                         [](const auto& tested) { return std::string(tested.param.generation) + "_" + tested.param.precision; });

}  // namespace
}  // namespace riverrun
