// --verify: a sound machine's blocks come to the same bytes on the next rank, and one that computes otherwise is found.

#include "ring/verify.h"

#include <gtest/gtest.h>

#include <limits>
#include <regex>

#include "core/error.h"
#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

using test::Corpus;
using test::RingRun;

constexpr Index kAll = std::numeric_limits<Index>::max() / 4;

Corpus corpus() { return test::random_corpus({700, 1, 333, 64, 65, 20}); }

RingRun verified_run(int ranks) {
  RingRun run;
  run.ranks = ranks, run.verify = kAll;
  run.request = test::everything();
  return run;
}

class VerifyTest : public testing::TestWithParam<const char*> {
 protected:
  const kernels::KernelTable& kernels_ = kernels::find_backend("auto");
};

TEST_P(VerifyTest, EveryBlockComesToTheSameAndTheResultsStayAsTheyAre) {
  const auto model = test::make_small_model(kernels_, "fp32", test::small_shape(GetParam()));
  const Corpus documents = corpus();
  RingRun plain = verified_run(1);
  plain.verify = 0;
  const auto expected = test::run_corpus(documents, *model, kernels_, plain);
  for (const int ranks : {1, 2, 3}) {
    const auto found = test::run_corpus(documents, *model, kernels_, verified_run(ranks));
    expect_same_bits(found, expected, concat(ranks, " ranks"));
  }
}

// Rank 1 has other weights: what it computes is not what rank 0 would have.
TEST_P(VerifyTest, ARankThatComputesOtherwiseIsNamed) {
  const auto model = test::make_small_model(kernels_, "fp32", test::small_shape(GetParam()));
  auto shape = test::small_shape(GetParam());
  shape.seed += 1;
  const auto other = test::make_small_model(kernels_, "fp32", shape);
  const Corpus documents = corpus();
  const RingRun run = verified_run(2);
  const plan::Plan plan = test::plan_corpus(documents, *model, run.ranks, run.block_tokens);
  test::ResultCollector collector(documents.size(), model->config().channels);
  try {
    transport::run_ranks("threads", {run.ranks}, [&](transport::Transport& transport) {
      test::run_rank(documents, plan, transport.rank() == 1 ? *other : *model, kernels_, run, transport, collector);
      return 0;
    });
    FAIL() << "nothing was said";
  } catch (const Error& error) {
    const std::string words = error.what();
    // Each of the two finds the other's blocks wrong; who is first is chance.
    EXPECT_TRUE(std::regex_search(words, std::regex("--verify: block [0-9]+ \\(document [0-5], tokens [0-9]+ to [0-9]+.*\\) came to .* "
                                                    "on rank (1 than on rank 0|0 than on rank 1):"))) << words;
  }
}

INSTANTIATE_TEST_SUITE_P(All, VerifyTest, testing::Values("rwkv4", "rwkv6", "rwkv7"), [](const auto& test) { return std::string(test.param); });

TEST(BlocksToVerify, AreSpreadEvenlyOverTheRanksBlocks) {
  plan::Plan plan;
  plan.of_rank.resize(2);
  for (Index i = 0; i < 100; ++i) plan.of_rank[0].push_back(2 * i);
  plan.of_rank[1] = {7, 5, 9};
  EXPECT_EQ(ring::blocks_to_verify(plan, 0, 4), (std::vector<Index>{24, 74, 124, 174}));
  EXPECT_EQ(ring::blocks_to_verify(plan, 0, 1), (std::vector<Index>{100}));
  EXPECT_EQ(ring::blocks_to_verify(plan, 1, 1000), (std::vector<Index>{7, 5, 9}));
  EXPECT_TRUE(ring::blocks_to_verify(plan, 1, 0).empty());
}

}  // namespace
}  // namespace riverrun
