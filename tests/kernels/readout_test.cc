// Log-probabilities and pooled sums.
#include "kernels/readout.h"

#include "support.h"

namespace riverrun::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ReadoutTest : public testing::TestWithParam<Variant> {};

std::vector<float> log_prob(const KernelTable& table, Index V, const std::vector<float>& logits,
                            const std::vector<TokenId>& targets, int threads) {
  Threads pool(threads);
  Output out(static_cast<Index>(targets.size()), DType::f32);
  table.log_prob({static_cast<Index>(targets.size()), V, logits.data(), targets.data(), out.f32()}, pool);
  return out.values();
}

TEST_P(ReadoutTest, LogProbAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index V : {1, 2, 15, 16, 17, 1000, 1025, 65536}) {
    for (const Index M : {0, 1, 5}) {
      Random random(static_cast<unsigned>(V + M));
      const auto logits = random.normals(M * V, 8);
      std::vector<TokenId> targets(M);
      for (auto& target : targets) target = static_cast<TokenId>(random.below(V));
      // The sum of exponentials is good to a relative 64 roundings, the result at most 100 in size.
      expect_near(log_prob(table, V, logits, targets, 3), log_prob(oracle(), V, logits, targets, 1),
                  66 * kRoundoff, kRoundoff, concat("V ", V, ", M ", M));
    }
  }
}

TEST_P(ReadoutTest, LogProbByHand) {
  const auto& table = select(GetParam());
  const auto got =
      log_prob(table, 4, {0, 0, 0, 0, 1e4f, 0, 0, 0, 1e4f, 0, 0, 0, -kInfinity, 5, -kInfinity, -kInfinity},
               {2, 0, 1, 1}, 1);
  expect_near(got, {-std::log(4.0f), 0, -1e4f, 0}, 2 * kRoundoff, kRoundoff, "log-probabilities");
}

TEST_P(ReadoutTest, ImpossibleTokensHaveMinusInfinity) {
  EXPECT_EQ(log_prob(select(GetParam()), 3, {-kInfinity, 1, 2}, {0}, 1)[0], -kInfinity);
}

// Wherever in the row the NaN stands: in whole vectors or in the rest.
TEST_P(ReadoutTest, NanAnywhereInARowShows) {
  const auto& table = select(GetParam());
  for (const Index V : {5, 16, 37}) {
    for (Index at = 0; at < V; ++at) {
      std::vector<float> logits(2 * V, 1.0f);
      logits[at] = kNaN;
      const auto got = log_prob(table, V, logits, {0, 0}, 1);
      EXPECT_TRUE(std::isnan(got[0])) << "V " << V << ", at " << at;
      EXPECT_NEAR(got[1], -std::log(static_cast<float>(V)), 1e-6) << "V " << V << ", at " << at;
    }
  }
}

TEST_P(ReadoutTest, SumRowsIsTheSameHoweverItIsCut) {
  const auto& table = select(GetParam());
  for (const Index D : {1, 20, 768, 1000}) {
    const Index M = 70;
    const auto x = Random(3).normals(M * D, 1000);
    std::vector<double> expected(D, 0.125);
    for (Index m = 0; m < M; ++m) {
      for (Index d = 0; d < D; ++d) expected[d] += x[m * D + d];
    }
    for (const int threads : {1, 4}) {
      Threads pool(threads);
      for (const Index cut : {0, 1, 33, 70}) {
        std::vector<double> sum(D, 0.125);
        table.sum_rows({cut, D, x.data(), sum.data()}, pool);
        table.sum_rows({M - cut, D, x.data() + cut * D, sum.data()}, pool);
        EXPECT_EQ(sum, expected) << "D " << D << ", cut " << cut;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ReadoutTest, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
