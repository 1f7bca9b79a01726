// The WKV-4 recurrence: right against the reference, and the same bits however it is cut.
#include "kernels/wkv4.h"

#include "kernels/reference/wkv4_chunk.h"
#include "wkv4_problem.h"

namespace riverrun::kernels {
namespace {

class Wkv4Test : public testing::TestWithParam<Variant> {};

// A token rounds its weights, products and sums, a few times 2^-24 each; earlier roundings decay, or average
// out. Up to 6 times 2^-24 of y and b were measured, after 4000 tokens too.
constexpr double kTolerance = 16 * kRoundoff;

// CUDA's kernels take 64 tokens at a time, and then round p where the chunked form does, which wkv4_chunk_test holds to the recurrence.
KernelTable right_one(const Variant& variant) {
  KernelTable table = oracle();
  if (of_cuda(variant)) table.wkv4 = reference::wkv4_chunk;
  return table;
}

TEST_P(Wkv4Test, AgreesWithTheReference) {
  const auto& table = select(GetParam());
  const KernelTable right = right_one(GetParam());
  const auto compare = [&](const Wkv4Problem& problem, const std::vector<float>& state,
                           const std::string& what) {
    expect_wkv4_agreement(table, problem, {{0, problem.M}}, {state}, 3, kTolerance, what, right);
  };
  for (const Wkv4Kind kind : kWkv4Kinds) {
    for (const Index D : {1, 3, 8, 20, 64, 100, 768}) {
      for (const Index M : {0, 1, 2, 65}) {
        const Wkv4Problem problem(M, D, kind, 5);
        const auto what = concat("kind ", static_cast<int>(kind), ", D ", D, ", M ", M);
        compare(problem, {}, what + ", no state");
        compare(problem, problem.state(6), what);
      }
    }
    compare(Wkv4Problem(1000, 100, kind, 8), {}, concat("kind ", static_cast<int>(kind), ", 1000 tokens"));
  }
}

// Three channels, two tokens, worked out on paper.
TEST_P(Wkv4Test, TwoTokensByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const float ln2 = std::log(2.0f), ln3 = std::log(3.0f);
  const Index M = 2, D = 3;
  const std::vector<float> k = {0, 0, 2, 0, 0, 2 + ln3}, v = {3, 3, 3, 5, 5, 5}, w = {-ln2, -ln2, -ln3},
                           u = {0, ln3, -ln3};
  std::vector<float> y(M * D, kNaN), state(3 * D, kNaN);
  const Segment all = {0, M};
  const float* in = nullptr;
  float* out = state.data();
  table.wkv4({M, D, 0, D, k.data(), v.data(), w.data(), u.data(), y.data(), 1, &all, &in, &out}, pool);
  // Token 0 leaves (3, 1, k). Token 1 reads past : present as 1 : 1, 1 : 3 and 1 : 1, and keeps 1/2 : 1, 1/2
  // : 1 and 1/9 : 1, divided by e^k.
  expect_near(y, {3, 3, 3, 4, 4.5f, 4}, 1e-6, 0, "y");
  expect_near(state, {6.5f, 1.5f, 0, 6.5f, 1.5f, 0, 3 / 9.0f + 5, 1 / 9.0f + 1, 2 + ln3}, 1e-6, 0, "state");
}

// The past may weigh more, too: then the exponent decays, and the present is scaled down.
TEST_P(Wkv4Test, PastThatOutweighsThePresentByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const float ln2 = std::log(2.0f), ln8 = std::log(8.0f);
  const std::vector<float> k = {-ln8}, v = {8}, w = {-ln2}, u = {ln2};
  std::vector<float> y(1, kNaN), state = {6, 2, 0};
  const Segment all = {0, 1};
  float* states = state.data();
  table.wkv4({1, 1, 0, 1, k.data(), v.data(), w.data(), u.data(), y.data(), 1, &all, &states, &states}, pool);
  expect_near(y, {(6 + 8 / 4.0f) / (2 + 1 / 4.0f)}, 1e-6, 0, "y");
  expect_near(state, {6 + 8 / 4.0f, 2 + 1 / 4.0f, -ln2}, 1e-6, 0, "state");
}

// Whatever its key: nothing else has any weight.
TEST_P(Wkv4Test, TheFirstTokenGivesItsValue) {
  const auto& table = select(GetParam());
  const float keys[] = {-80, 80, 0, -1e4f, 1e4f, 1e29f, -1e29f};
  for (const Wkv4Kind kind : kWkv4Kinds) {
    Wkv4Problem problem(1, 100, kind, 9);
    for (Index d = 0; d < 70; ++d) problem.k[d] = keys[d % 7];
    const auto result = run_recurrence(table, problem, {{0, 1}}, {{}}, 2);
    EXPECT_EQ(result.y, problem.v);
    for (Index d = 0; d < 100; ++d) {
      EXPECT_EQ(result.states[0][3 * d], problem.v[d]);
      EXPECT_EQ(result.states[0][3 * d + 1], 1);
      EXPECT_EQ(result.states[0][3 * d + 2], problem.k[d]);
    }
  }
}

// A mean lies between the values it is taken of, and keys that swing by 1e31 make neither infinity nor
// NaN.
TEST_P(Wkv4Test, SwingingKeysStayWithinTheValues) {
  const auto& table = select(GetParam());
  const Index M = 200, D = 64;
  Wkv4Problem problem(M, D, Wkv4Kind::extreme, 10);
  for (Index i = 0; i < M * D; ++i) problem.k[i] *= i / D % 2 == 0 ? 10.0f : -1e30f;
  for (auto& value : problem.v) value = std::clamp(value, -2.0f, 2.0f);
  const auto result = run_recurrence(table, problem, {{0, M}}, {{}}, 2);
  for (Index i = 0; i < M * D; ++i) ASSERT_LE(std::abs(result.y[i]), 2.00001f) << i;
  for (const float value : result.states[0]) ASSERT_TRUE(std::isfinite(value));
}

TEST_P(Wkv4Test, CarryingStateAcrossACutChangesNoBit) {
  const auto& table = select(GetParam());
  for (const Wkv4Kind kind : kWkv4Kinds) {
    const Wkv4Problem whole(40, 100, kind, 11);
    expect_cuts_change_no_bit(table, whole, whole.state(12), {0, 1, 15, 16, 17, 39, 40});
    expect_cuts_change_no_bit(table, whole.tokens(0, 40), {}, {7});
    const Wkv4Problem almost(63, 40, kind, 11);
    expect_cuts_change_no_bit(table, almost, {}, {9, 62});
    const Wkv4Problem groups(210, 40, kind, 11);
    expect_cuts_change_no_bit(table, groups, groups.state(12), {64, 128, 192});
  }
}

TEST_P(Wkv4Test, ChannelRangesHaveTheBitsOfAllChannelsAtOnce) {
  const auto& table = select(GetParam());
  const Index D = 173;
  std::vector<std::pair<Index, Index>> singles;
  for (Index d = 0; d < D; ++d) singles.emplace_back(d, 1);
  for (const Wkv4Kind kind : kWkv4Kinds) {
    const Wkv4Problem problem(20, D, kind, 21);
    for (const auto& ranges :
         {singles, {{0, 173}}, {{9, 164}, {0, 1}, {4, 0}, {1, 8}}, {{0, 64}, {64, 109}}}) {
      expect_ranges_have_the_bits_of_all(table, problem, ranges);
    }
  }
}

TEST_P(Wkv4Test, WritesOnlyItsChannels) {
  expect_only_a_range_is_written(select(GetParam()), Wkv4Problem(3, 100, Wkv4Kind::usual, 31), 7, 75);
}

TEST_P(Wkv4Test, ASegmentHasTheBitsItHasAlone) {
  expect_segments_have_the_bits_they_have_alone(select(GetParam()), Wkv4Problem(50, 100, Wkv4Kind::long_memory, 41));
}

TEST_P(Wkv4Test, OneTokenOfManySequencesHasTheBitsItHasAlone) {
  expect_one_token_of_many_has_the_bits_it_has_alone(select(GetParam()), Wkv4Problem(7, 100, Wkv4Kind::usual, 45));
}

// With a decay this weak and nothing of weight added, the first token must still be there after a thousand.
TEST_P(Wkv4Test, LongMemoryIsKept) {
  const auto& table = select(GetParam());
  const Index M = 1000, D = 20;
  Wkv4Problem problem(M, D, Wkv4Kind::usual, 51);
  std::fill(problem.w.begin(), problem.w.end(), -1e-6f), std::fill(problem.u.begin(), problem.u.end(), 0.0f);
  for (Index i = D; i < M * D; ++i) problem.k[i] = -60;
  std::fill_n(problem.k.begin(), D, 0.0f), std::fill_n(problem.v.begin(), D, 7.0f);
  const auto result = run_recurrence(table, problem, {{0, M}}, {{}}, 1);
  for (const float y : result.y) ASSERT_FLOAT_EQ(y, 7);
  for (Index d = 0; d < D; ++d) {
    EXPECT_FLOAT_EQ(result.states[0][3 * d], 7);
    EXPECT_FLOAT_EQ(result.states[0][3 * d + 1], 1);
    EXPECT_NEAR(result.states[0][3 * d + 2], -999e-6, 999 * 1e-3 * kRoundoff);
  }
}

TEST_P(Wkv4Test, NanStaysInItsChannel) {
  const auto& table = select(GetParam());
  const Index M = 6, D = 100;
  Wkv4Problem problem(M, D, Wkv4Kind::usual, 61);
  auto state = problem.state(62);
  problem.v[2 * D + 5] = problem.k[3 * D + 40] = problem.k[99] = kNaN;
  state[3 * 70] = state[3 * 71 + 1] = state[3 * 72 + 2] = kNaN;
  const auto result = run_recurrence(table, problem, {{0, M}}, {state}, 2);
  for (Index i = 0; i < M * D; ++i) {
    const Index t = i / D, d = i % D;
    const bool poisoned = (d == 5 && t >= 2) || (d == 40 && t >= 3) || d == 99 || (d >= 70 && d <= 72);
    EXPECT_EQ(std::isnan(result.y[i]), poisoned) << "token " << t << ", channel " << d;
  }
  for (Index d = 0; d < D; ++d) {
    const auto of = [&](Index part) { return std::isnan(result.states[0][3 * d + part]); };
    EXPECT_EQ(of(0) || of(1) || of(2), d == 5 || d == 40 || d == 99 || (d >= 70 && d <= 72))
        << "channel " << d;
  }
}

TEST_P(Wkv4Test, RefusesWhatIsOutsideItsContract) {
  expect_refusals(select(GetParam()), Wkv4Problem(4, 8, Wkv4Kind::usual, 71));
}

INSTANTIATE_TEST_SUITE_P(Backends, Wkv4Test, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
