// The promise of the ring: a document's results are the same bits for any number of ranks and threads, any block
// size, alone or anywhere in any corpus.

#include <gtest/gtest.h>

#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

using test::Corpus;
using test::everything;
using test::RingRun;
using test::run_corpus;

// Lengths at every edge of a block of 64, long chains, short ones, one token.
Corpus mixed_corpus() { return test::random_corpus({1, 63, 64, 65, 127, 128, 129, 500, 2, 30, 700, 5, 192, 64, 333}); }

struct Case {
  std::string generation, precision, weights = "auto";
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.generation << " " << c.precision << " " << c.weights; }

// Both precisions of the newest generation, and its int8 weights; fp32 of the others.
std::vector<Case> all_cases() {
  std::vector<Case> cases = {{"rwkv7", "bf16"}, {"rwkv7", "fp32", "int8"}};
  for (const char* generation : {"rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"}) {
    cases.push_back({generation, "fp32"});
  }
  return cases;
}

class IdentityTest : public testing::TestWithParam<Case> {
 protected:
  const kernels::KernelTable& kernels_ = kernels::find_backend("auto");
  std::unique_ptr<model::Model> model_;

  void SetUp() override {
    if (GetParam().precision == "bf16" && !kernels_.multiplies(DType::bf16)) GTEST_SKIP() << "no bf16 products here";
    model_ = test::make_small_model(kernels_, GetParam().precision, test::small_shape(GetParam().generation), GetParam().weights);
  }
};

TEST_P(IdentityTest, AnyNumberOfRanks) {
  const Corpus corpus = mixed_corpus();
  for (const auto pool : {ring::Pool::mean, ring::Pool::last}) {
    RingRun run;
    run.request = everything(pool);
    const auto one = run_corpus(corpus, *model_, kernels_, run);
    for (const int ranks : {2, 3, 4, 8}) {
      run.ranks = ranks;
      expect_same_bits(run_corpus(corpus, *model_, kernels_, run), one, concat(ranks, " ranks"));
    }
  }
}

TEST_P(IdentityTest, AnyNumberOfThreads) {
  const Corpus corpus = mixed_corpus();
  RingRun run;
  run.request = everything();
  const auto one = run_corpus(corpus, *model_, kernels_, run);
  for (const int threads : {2, 3}) {
    run.threads = threads, run.ranks = 2;
    expect_same_bits(run_corpus(corpus, *model_, kernels_, run), one, concat(threads, " threads"));
  }
}

TEST_P(IdentityTest, AnyBlockSize) {
  const Corpus corpus = mixed_corpus();
  RingRun run;
  run.request = everything();
  const auto one = run_corpus(corpus, *model_, kernels_, run);
  for (const Index block : {16, 128, 320, 1024}) {
    run.block_tokens = block, run.ranks = 3;
    expect_same_bits(run_corpus(corpus, *model_, kernels_, run), one, concat("blocks of ", block));
  }
}

TEST_P(IdentityTest, AloneOrAnywhereInACorpus) {
  const Corpus corpus = mixed_corpus();
  RingRun run;
  run.request = everything();
  run.ranks = 2;
  const auto together = run_corpus(corpus, *model_, kernels_, run);
  for (std::size_t d = 0; d < corpus.size(); ++d) {
    const auto alone = run_corpus({corpus[d]}, *model_, kernels_, run);
    EXPECT_TRUE(same_bits(alone[0], together[d])) << "document " << d;
  }
  const Corpus backwards(corpus.rbegin(), corpus.rend());
  auto reversed = run_corpus(backwards, *model_, kernels_, run);
  std::reverse(reversed.begin(), reversed.end());
  expect_same_bits(reversed, together, "the corpus in reverse");
}

TEST_P(IdentityTest, EveryTokenIsScoredAndEveryWindowFilled) {
  const Corpus corpus = mixed_corpus();
  RingRun run;
  run.request = everything();
  run.ranks = 3;
  const auto results = run_corpus(corpus, *model_, kernels_, run);
  for (std::size_t d = 0; d < corpus.size(); ++d) {
    const auto length = corpus[d].size();
    ASSERT_EQ(results[d].scores.size(), length);
    EXPECT_TRUE(std::isnan(results[d].scores[0]));
    for (std::size_t t = 1; t < length; ++t) EXPECT_LT(results[d].scores[t], 0.0f);
    ASSERT_EQ(results[d].windows.size(), (length + 47) / 48 * 128);
    for (const float value : results[d].windows) EXPECT_NE(value, -777.0f);
    EXPECT_EQ(results[d].tokens, Index(length));
  }
}

INSTANTIATE_TEST_SUITE_P(All, IdentityTest, testing::ValuesIn(all_cases()), [](const auto& test) {
  std::string name = test.param.generation + "_" + test.param.precision + "_" + test.param.weights;
  std::ranges::replace(name, '.', '_');
  return name;
});

}  // namespace
}  // namespace riverrun
