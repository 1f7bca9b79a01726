// Log-probabilities, the likeliest token, and pooled sums.
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

struct Picked {
  std::vector<TokenId> tokens;
  std::vector<float> logits;
};

Picked pick(const KernelTable& table, Index V, std::vector<float> logits, const std::vector<TokenId>& banned = {},
            const std::vector<Index>& begin = {}, const std::vector<TokenId>& penalised = {}, const std::vector<float>& penalties = {}) {
  Threads pool(3);
  const Index M = std::ssize(logits) / V;
  std::vector<TokenId> tokens(static_cast<std::size_t>(M), -77);
  table.pick_largest({M, V, logits.data(), std::ssize(banned), banned.data(), begin.empty() ? nullptr : begin.data(), penalised.data(),
                      penalties.data(), tokens.data()},
                     pool);
  return {tokens, logits};
}

TEST_P(ReadoutTest, PickTakesTheFirstOfTheLargest) {
  const auto& table = select(GetParam());
  for (const Index V : {1, 2, 15, 16, 17, 37, 1000, 65536}) {
    Random random(static_cast<unsigned>(V));
    std::vector<float> logits = random.normals(5 * V, 8);
    for (float& logit : logits) logit = std::round(logit);  // so that many are equal
    std::vector<TokenId> expected;
    for (Index m = 0; m < 5; ++m) {
      const auto row = logits.begin() + m * V;
      expected.push_back(static_cast<TokenId>(std::max_element(row, row + V) - row));
    }
    EXPECT_EQ(pick(table, V, logits).tokens, expected) << "V " << V;
  }
  EXPECT_TRUE(pick(table, 3, {}).tokens.empty());
  EXPECT_EQ(pick(table, 4, {-kInfinity, -0.0f, 0.0f, -kInfinity, -1e30f, -kInfinity, -1e30f, -kInfinity}).tokens, (std::vector<TokenId>{1, 0}));
}

// Wherever it stands; and a row without a token that may come has none.
TEST_P(ReadoutTest, PickRefusesRowsThatAreNotFinite) {
  const auto& table = select(GetParam());
  for (const Index V : {1, 5, 16, 37, 700}) {
    for (const float wrong : {kNaN, -kNaN, kInfinity}) {
      for (Index at = 0; at < V; at += V > 100 ? 17 : 1) {
        std::vector<float> logits(3 * V, 1.0f);
        logits[V + at] = wrong;
        EXPECT_EQ(pick(table, V, logits).tokens, (std::vector<TokenId>{0, -1, 0})) << "V " << V << ", at " << at;
      }
    }
    EXPECT_EQ(pick(table, V, std::vector<float>(V, -kInfinity)).tokens[0], -1);
  }
}

// First what is banned, whatever its logit was, then penalties, and then the choice; all backends leave the same logits.
TEST_P(ReadoutTest, PickBansAndPenalises) {
  const auto& table = select(GetParam());
  const Picked picked = pick(table, 4, {9, kNaN, 3, 2, 9, kInfinity, 3, 2, 1, 0, 3, 2}, {1, 0, 1}, {0, 1, 1, 4}, {2, 0, 2, 3},
                             {1.5f, 4.0f, 2.0f, -7.0f});
  EXPECT_EQ(picked.tokens, (std::vector<TokenId>{3, 2, 3}));
  EXPECT_TRUE(same_bits(picked.logits, {-kInfinity, -kInfinity, 1.5f, 2, -kInfinity, -kInfinity, 3, 2, -kInfinity, -kInfinity, 1, 9}));

  Random random(5);
  constexpr Index kV = 1000, kM = 7;
  const auto logits = random.normals(kM * kV, 4);
  std::vector<TokenId> banned, penalised;
  std::vector<Index> begin = {0};
  for (TokenId v = 0; v < kV; v += 13) banned.push_back(v);
  for (Index m = 0; m < kM; ++m) {
    for (TokenId v = static_cast<TokenId>(m); v < kV; v += static_cast<TokenId>(m) + 1) penalised.push_back(v);
    begin.push_back(std::ssize(penalised));
  }
  const auto penalties = random.normals(std::ssize(penalised), 3);
  const Picked expected = pick(oracle(), kV, logits, banned, begin, penalised, penalties);
  const Picked found = pick(table, kV, logits, banned, begin, penalised, penalties);
  EXPECT_EQ(found.tokens, expected.tokens);
  EXPECT_TRUE(same_bits(found.logits, expected.logits));
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
