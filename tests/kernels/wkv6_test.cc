// The WKV-6 recurrence: right against the reference, and the same bits however it is cut.
#include "kernels/wkv6.h"

#include "wkv6_problem.h"

namespace riverrun::kernels {
namespace {

class Wkv6Test : public testing::TestWithParam<Variant> {};

// Of the largest value. Sums of N + 1 terms and a rounding of the state per token, as often up as down:
// measured 4.2e-7. Without a fused multiply-add S w is rounded by itself, and for w next to 1 in the same
// direction token after token.
double tolerance(const Variant& variant, Index M) {
  const bool fused = variant.target != Variant::Target::portable;
  return 2e-6 + (fused ? 0.0 : static_cast<double>(M) * kRoundoff);
}

TEST_P(Wkv6Test, AgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Decay kind : kDecays) {
    for (const bool same_decay : {false, true}) {
      const auto check = [&](Index M, Index H, Index N, int threads) {
        const Wkv6Problem problem(M, H, N, kind, 5, same_decay);
        const auto what = concat("kind ", static_cast<int>(kind), ", N ", N, ", M ", M);
        const double most = tolerance(GetParam(), M);
        expect_agreement(table, problem, {{0, M}}, {{}}, threads, most, what + ", no state");
        expect_agreement(table, problem, {{0, M}}, {problem.state(6)}, threads, most, what);
      };
      for (const Index N : {8, 32, 64, 128}) {
        for (const Index M : {0, 1, 2, 65}) check(M, 3, N, 2);
      }
      for (const Index N : {1, 4, 20, 48, 96}) check(9, 2, N, 2);
      check(of_cuda(GetParam()) && !on_gpu(GetParam()) ? 100 : 700, 1, 64, 3);
    }
  }
}

// Two value rows, two keys, two tokens, worked out on paper.
TEST_P(Wkv6Test, TwoTokensByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const std::vector<float> r = {1, 2, -1, 2}, w = {0.5f, 1, 0, 0.5f}, k = {1, 2, 4, 1}, v = {3, -1, 1, 2};
  const std::vector<float> u = {2, 0.5f};
  std::vector<float> state = {2, 4, 0, 8}, y(4, kNaN);
  float* states = state.data();
  const Segment all = {0, 2};
  table.wkv6({2, 1, 2, 0, 1, r.data(), w.data(), 2, k.data(), v.data(), u.data(), y.data(), 1, &all, &states,
              &states},
             pool);
  // Token 0: S r = [2 + 8, 16], present 1*2*1 + 2*0.5*2 = 4 times [3, -1]; S = [[1 + 3, 4 + 6], [-1, 8 - 2]].
  // Token 1: S r = [-4 + 20, 1 + 12], present -1*2*4 + 2*0.5*1 = -7 times [1, 2]; S = [[4, 5 + 1], [8, 3 +
  // 2]].
  EXPECT_EQ(y, (std::vector<float>{22, 12, 9, -1}));
  EXPECT_EQ(state, (std::vector<float>{4, 6, 8, 5}));
}

// RWKV-5 passes one row of decays for all tokens: the same bits as with the row repeated.
TEST_P(Wkv6Test, OneRowOfDecaysHasTheBitsOfRepeatedRows) {
  const auto& table = select(GetParam());
  for (const Decay kind : kDecays) {
    for (const Index N : {20, 64}) {
      const Index M = 33, H = 3;
      const Wkv6Problem one_row(M, H, N, kind, 9, true);
      const auto state = one_row.state(10);
      const auto got = run_recurrence(table, one_row, {{0, M}}, {state}, 2),
                 expected = run_recurrence(table, one_row.with_repeated_decay(), {{0, M}}, {state}, 2);
      EXPECT_TRUE(same_bits(got.y, expected.y)) << "N " << N;
      EXPECT_TRUE(same_bits(got.states[0], expected.states[0])) << "N " << N;
    }
  }
}

TEST_P(Wkv6Test, CarryingStateAcrossACutChangesNoBit) {
  const auto& table = select(GetParam());
  for (const DType operand : operands_of(GetParam())) {
    for (const Decay kind : kDecays) {
      for (const bool same_decay : {false, true}) {
        const auto whole = in_type(operand, Wkv6Problem(40, 2, 64, kind, 11, same_decay));
        expect_cuts_change_no_bit(table, whole, whole.state(12), cuts_of_40(GetParam()));
      }
    }
  }
}

TEST_P(Wkv6Test, HeadRangesHaveTheBitsOfAllHeadsAtOnce) {
  const auto& table = select(GetParam());
  for (const DType operand : operands_of(GetParam())) {
    for (const Index N : {32, 64}) {
      const auto problem = in_type(operand, Wkv6Problem(20, 5, N, Decay::usual, 21));
      expect_ranges_have_the_bits_of_all(table, problem, {{3, 2}, {0, 1}, {1, 0}, {1, 2}});
    }
  }
}

TEST_P(Wkv6Test, WritesOnlyItsHeads) {
  expect_only_a_range_is_written(select(GetParam()), Wkv6Problem(3, 3, 64, Decay::usual, 31), 1, 1);
}

TEST_P(Wkv6Test, ASegmentHasTheBitsItHasAlone) {
  const auto& table = select(GetParam());
  for (const DType operand : operands_of(GetParam())) {
    for (const bool same_decay : {false, true}) {
      const Wkv6Problem all(50, 2, 64, Decay::long_memory, 41, same_decay);
      expect_segments_have_the_bits_they_have_alone(table, in_type(operand, all));
    }
  }
}

TEST_P(Wkv6Test, OneTokenOfManySequencesHasTheBitsItHasAlone) {
  const auto& table = select(GetParam());
  for (const Index N : {8, 20, 32, 48, 64, 128}) {
    SCOPED_TRACE(N);
    expect_one_token_of_many_has_the_bits_it_has_alone(table, Wkv6Problem(7, 3, N, Decay::usual, 45));
  }
}

// Only chunks on tensor cores form their products by the type of the model's operands.
TEST_P(Wkv6Test, TokenByTokenAModelsTypeChangesNoBit) {
  const auto& table = select(GetParam());
  const Wkv6Problem problem(40, 2, of_cuda(GetParam()) ? 48 : 64, Decay::usual, 47);
  const auto expected = run_recurrence(table, problem, {{0, 40}}, {problem.state(48)}, 2);
  for (const DType operand : {DType::bf16, DType::f16}) {
    const auto got = run_recurrence(table, in_type(operand, problem), {{0, 40}}, {problem.state(48)}, 2);
    EXPECT_TRUE(same_bits(got.y, expected.y) && same_bits(got.states[0], expected.states[0])) << name_of(operand);
  }
}

// With a decay this close to 1 and nothing written, the state must still be there after hundreds of tokens.
TEST_P(Wkv6Test, LongMemoryIsKept) {
  const auto& table = select(GetParam());
  const Index M = of_cuda(GetParam()) ? 200 : 1000, N = 64;
  Wkv6Problem problem(M, 1, N, Decay::long_memory, 51);
  for (auto* data : {&problem.k, &problem.v}) std::fill(data->begin(), data->end(), 0.0f);
  std::fill(problem.w.begin(), problem.w.end(), 1 - 0x1p-20f);
  std::vector<float> expected = problem.state(52);
  const auto result = run_recurrence(table, problem, {{0, M}}, {expected}, 1);
  for (auto& value : expected) value = static_cast<float>(value * std::pow(1 - 0x1p-20, M));
  expect_near(result.states[0], expected, 0, static_cast<double>(M) * kRoundoff, "state");
}

// A decay factor of 0 is in its range: what came before the token is gone to the last bit, the token itself
// stays.
TEST_P(Wkv6Test, AZeroDecayForgetsExactly) {
  const auto& table = select(GetParam());
  const Index M = 40, H = 2, N = 64, D = H * N, reset = of_cuda(GetParam()) ? 16 : 7;
  Wkv6Problem problem(M, H, N, Decay::usual, 55);
  std::fill_n(problem.w.begin() + reset * D, D, 0.0f);
  const auto whole = run_recurrence(table, problem, {{0, M}}, {problem.state(56)}, 2),
             fresh = run_recurrence(table, problem.tokens(reset, M), {{0, M - reset}}, {{}}, 2);
  EXPECT_TRUE(same_bits(rows_of(whole.y, reset + 1, M, D), rows_of(fresh.y, 1, M - reset, D)));
  EXPECT_TRUE(same_bits(whole.states[0], fresh.states[0]));
}

// In a value a NaN spoils its value row, in a receptance its token, in a decay all tokens behind; nothing
// else.
TEST_P(Wkv6Test, NanGoesWhereItsValueGoes) {
  const auto& table = select(GetParam());
  const Index M = 6, H = 2, N = 64, at = (2 * H + 1) * N + 5;  // token 2, head 1, channel 5
  for (const auto member : {&Wkv6Problem::v, &Wkv6Problem::r, &Wkv6Problem::w}) {
    Wkv6Problem problem(M, H, N, Decay::usual, 61);
    (problem.*member)[at] = kNaN;
    const auto result = run_recurrence(table, problem, {{0, M}}, {{}}, 2);
    for (Index i = 0; i < M * H * N; ++i) {
      const Index t = i / (H * N), h = i / N % H, row = i % N;
      const bool spoilt = member == &Wkv6Problem::v   ? t >= 2 && row == 5
                          : member == &Wkv6Problem::r ? t == 2
                                                      : t > 2;
      EXPECT_EQ(std::isnan(result.y[i]), h == 1 && spoilt)
          << "token " << t << " head " << h << " row " << row;
    }
  }
}

TEST_P(Wkv6Test, RefusesWhatIsOutsideItsContract) {
  const auto& table = select(GetParam());
  const Wkv6Problem problem(4, 1, 8, Decay::usual, 71);
  expect_refusals(table, problem);
  Threads pool(1);
  Output y(4 * 8, DType::f32);
  const Segment all = {0, 4};
  const float* in = nullptr;
  float* out = nullptr;
  Wkv6Args args = problem.args();
  args.y = y.f32(), args.segment_count = 1, args.segments = &all, args.state_in = &in, args.state_out = &out;
  args.w_stride = 1;
  EXPECT_THROW(table.wkv6(args, pool), Error);
}

INSTANTIATE_TEST_SUITE_P(Backends, Wkv6Test, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
