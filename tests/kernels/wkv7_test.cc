// The WKV-7 recurrence: right against the reference, and the same bits however it is cut.
#include "kernels/wkv7.h"

#include "wkv7_problem.h"

namespace riverrun::kernels {
namespace {

class Wkv7Test : public testing::TestWithParam<Variant> {};

// fp32 recurrences were measured at up to 3e-6 of the largest |y| against fp64 in 1,000,000 tokens (repeated
// keys the worst); each of M tokens adds some roundings of sums of N terms, so 1e-5 leaves room for the few
// hundred here.
constexpr double kTolerance = 1e-5;

TEST_P(Wkv7Test, AgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Kind kind : kKinds) {
    const auto check = [&](Index M, Index H, Index N, unsigned seed, int threads) {
      const Wkv7Problem problem(M, H, N, kind, seed);
      const auto what = concat("kind ", static_cast<int>(kind), ", N ", N, ", M ", M);
      expect_agreement(table, problem, {{0, M}}, {{}}, threads, kTolerance, what + ", no state");
      expect_agreement(table, problem, {{0, M}}, {problem.state(6)}, threads, kTolerance, what);
    };
    for (const Index N : {8, 32, 64, 128}) {
      for (const Index M : {0, 1, 2, 65}) check(M, 3, N, 5, 2);
    }
    for (const Index N : {1, 4, 20, 48, 96}) check(9, 2, N, 7, 2);
    check(of_cuda(GetParam()) && !on_gpu(GetParam()) ? 100 : 700, 1, 64, 8, 3);
  }
}

// Two value rows, two keys, two tokens, worked out on paper.
TEST_P(Wkv7Test, TwoTokensByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const std::vector<float> r = {1, 0, 1, 2}, w = {0.5f, 1, 1, 0.5f}, k = {1, 2, 0, 1}, v = {3, -1, 1, 1};
  const std::vector<float> a = {0, 0, -1, 0}, b = {9, 9, 0.5f, 0};
  std::vector<float> state = {2, 4, 0, 8}, y(4, kNaN);
  float* states = state.data();
  const Segment all = {0, 2};
  table.wkv7({2, 1, 2, 0, 1, r.data(), w.data(), k.data(), v.data(), a.data(), b.data(), y.data(), 1, &all,
              &states, &states},
             pool);
  // Token 0: u = 0, S = [[1 + 3, 4 + 6], [0 - 1, 8 - 2]], y = S [1, 0].
  // Token 1: u = -S[:, 0] = [-4, 1], S = [[4 - 2, 5 + 1], [-1 + 0.5, 3 + 1]], y = S [1, 2].
  EXPECT_EQ(y, (std::vector<float>{4, -1, 14, 7.5f}));
  EXPECT_EQ(state, (std::vector<float>{2, 6, -0.5f, 4}));
}

TEST_P(Wkv7Test, CarryingStateAcrossACutChangesNoBit) {
  const auto& table = select(GetParam());
  for (const DType operand : operands_of(GetParam())) {
    for (const Kind kind : kKinds) {
      const auto whole = in_type(operand, Wkv7Problem(40, 2, 64, kind, 11));
      expect_cuts_change_no_bit(table, whole, whole.state(12), cuts_of_40(GetParam()));
    }
  }
}

// On a GPU of so many heads that it has no two multiprocessors for each, and of few.
TEST_P(Wkv7Test, HeadRangesHaveTheBitsOfAllHeadsAtOnce) {
  const auto& table = select(GetParam());
  const bool gpu = on_gpu(GetParam());
  const Index H = gpu ? 100 : 5;
  for (const Index M : gpu ? std::vector<Index>{33, 16 * 8, 16 * 9 + 1, 16 * 300 + 3} : std::vector<Index>{20}) {
    for (const DType operand : operands_of(GetParam())) {
      for (const Index N : {32, 64}) {
        const auto problem = in_type(operand, Wkv7Problem(M, H, N, Kind::usual, 21));
        expect_ranges_have_the_bits_of_all(table, problem, {{3, H - 3}, {0, 1}, {1, 0}, {1, 2}});
      }
    }
  }
}

TEST_P(Wkv7Test, WritesOnlyItsHeads) {
  expect_only_a_range_is_written(select(GetParam()), Wkv7Problem(3, 3, 64, Kind::usual, 31), 1, 1);
}

TEST_P(Wkv7Test, ASegmentHasTheBitsItHasAlone) {
  for (const DType operand : operands_of(GetParam())) {
    expect_segments_have_the_bits_they_have_alone(select(GetParam()),
                                                  in_type(operand, Wkv7Problem(50, 2, 64, Kind::long_memory, 41)));
  }
}

TEST_P(Wkv7Test, OneTokenOfManySequencesHasTheBitsItHasAlone) {
  const auto& table = select(GetParam());
  for (const Index N : {8, 20, 32, 48, 64, 128}) {
    SCOPED_TRACE(N);
    expect_one_token_of_many_has_the_bits_it_has_alone(table, Wkv7Problem(7, 3, N, Kind::usual, 45));
  }
}

// Only chunks on tensor cores form their products by the type of the model's operands.
TEST_P(Wkv7Test, TokenByTokenAModelsTypeChangesNoBit) {
  const auto& table = select(GetParam());
  const Wkv7Problem problem(40, 2, of_cuda(GetParam()) ? 48 : 64, Kind::usual, 47);
  const auto expected = run_recurrence(table, problem, {{0, 40}}, {problem.state(48)}, 2);
  for (const DType operand : {DType::bf16, DType::f16}) {
    const auto got = run_recurrence(table, in_type(operand, problem), {{0, 40}}, {problem.state(48)}, 2);
    EXPECT_TRUE(same_bits(got.y, expected.y) && same_bits(got.states[0], expected.states[0])) << name_of(operand);
  }
}

// With a decay this close to 1 and nothing written, the state must still be there after hundreds of tokens.
TEST_P(Wkv7Test, LongMemoryIsKept) {
  const auto& table = select(GetParam());
  const Index M = of_cuda(GetParam()) ? 200 : 1000, N = 64;
  Wkv7Problem problem(M, 1, N, Kind::long_memory, 51);
  for (auto* data : {&problem.k, &problem.v, &problem.a, &problem.b})
    std::fill(data->begin(), data->end(), 0.0f);
  std::fill(problem.w.begin(), problem.w.end(), 1 - 0x1p-20f);
  std::vector<float> expected = problem.state(52);
  const auto result = run_recurrence(table, problem, {{0, M}}, {expected}, 1);
  for (auto& value : expected) value = static_cast<float>(value * std::pow(1 - 0x1p-20, M));
  expect_near(result.states[0], expected, 0, static_cast<double>(M) * kRoundoff, "state");
}

TEST_P(Wkv7Test, NanStaysInItsValueRowAndHead) {
  const auto& table = select(GetParam());
  const Index M = 6, H = 2, N = 64;
  Wkv7Problem problem(M, H, N, Kind::usual, 61);
  problem.v[(2 * H + 1) * N + 5] = kNaN;  // token 2, head 1, row 5
  const auto result = run_recurrence(table, problem, {{0, M}}, {{}}, 2);
  for (Index i = 0; i < M * H * N; ++i) {
    const Index t = i / (H * N), h = i / N % H, row = i % N;
    EXPECT_EQ(std::isnan(result.y[i]), t >= 2 && h == 1 && row == 5)
        << "token " << t << " head " << h << " row " << row;
  }
}

TEST_P(Wkv7Test, RefusesWhatIsOutsideItsContract) {
  expect_refusals(select(GetParam()), Wkv7Problem(4, 1, 8, Kind::usual, 71));
}

INSTANTIATE_TEST_SUITE_P(Backends, Wkv7Test, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
