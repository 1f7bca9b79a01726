// The WKV-4 recurrence: right against the reference, and the same bits however it is cut.
#include "kernels/wkv4.h"

#include "wkv4_problem.h"

namespace riverrun::kernels {
namespace {

class Wkv4Test : public testing::TestWithParam<Variant> {};

// A token rounds its weights, products and sums, a few times 2^-24 each; earlier roundings decay, or average
// out. Up to 6 times 2^-24 of y and b were measured, after 4000 tokens too.
constexpr double kTolerance = 16 * kRoundoff;

TEST_P(Wkv4Test, AgreesWithTheReference) {
  const auto& table = select(GetParam());
  const auto compare = [&](const Wkv4Problem& problem, const std::vector<float>& state,
                           const std::string& what) {
    const std::vector<Segment> all = {{0, problem.M}};
    expect_close(run_wkv4(table.wkv4, problem, all, {state}, 3),
                 run_wkv4(oracle().wkv4, problem, all, {state}, 1), kTolerance, what);
  };
  for (const Wkv4Kind kind : kWkv4Kinds) {
    for (const Index D : {1, 3, 8, 20, 64, 100, 768}) {
      for (const Index M : {0, 1, 2, 65}) {
        const Wkv4Problem problem(M, D, kind, 5);
        const auto what = concat("kind ", static_cast<int>(kind), ", D ", D, ", M ", M);
        compare(problem, {}, what + ", no state");
        compare(problem, wkv4_state(D, 6), what);
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
    const auto result = run_wkv4(table.wkv4, problem, {{0, 1}}, {{}}, 2);
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
  const auto result = run_wkv4(table.wkv4, problem, {{0, M}}, {{}}, 2);
  for (Index i = 0; i < M * D; ++i) ASSERT_LE(std::abs(result.y[i]), 2.00001f) << i;
  for (const float value : result.states[0]) ASSERT_TRUE(std::isfinite(value));
}

// What the ring rests on: cut a document anywhere, carry the state across the cut, and nothing changes.
TEST_P(Wkv4Test, CarryingStateAcrossACutChangesNoBit) {
  const auto& table = select(GetParam());
  const Index M = 40, D = 100;
  for (const Wkv4Kind kind : kWkv4Kinds) {
    const Wkv4Problem whole(M, D, kind, 11);
    const auto state = wkv4_state(D, 12);
    const auto expected = run_wkv4(table.wkv4, whole, {{0, M}}, {state}, 2);
    for (const Index cut : {0, 1, 15, 16, 17, 39, 40}) {
      Threads pool(3);
      std::vector<float> carried = state, y(M * D, kNaN);
      for (const Segment part : {Segment{0, cut}, Segment{cut, M}}) {
        const Wkv4Problem rows = whole.rows(part.begin, part.end);
        const Segment all = {0, rows.M};
        float* states = carried.data();
        Wkv4Args args = rows.args();
        args.y = y.data() + part.begin * D, args.segment_count = 1, args.segments = &all;
        args.state_in = &states, args.state_out = &states;
        table.wkv4(args, pool);
      }
      EXPECT_TRUE(same_bits(y, expected.y)) << "cut at " << cut;
      EXPECT_TRUE(same_bits(carried, expected.states[0])) << "cut at " << cut;
    }
  }
}

// Calls for the given ranges of channels, whose states stand where those of all channels would.
Wkv4Result run_ranges(const KernelTable& table, const Wkv4Problem& problem, const std::vector<float>& state,
                      const std::vector<std::pair<Index, Index>>& ranges, int threads) {
  Threads pool(threads);
  Output y(problem.M * problem.D, DType::f32), out(problem.D * 3, DType::f32);
  const Segment all = {0, problem.M};
  for (const auto& [first, channels] : ranges) {
    const float* in = state.data() + 3 * first;
    float* to = out.f32() + 3 * first;
    Wkv4Args args = problem.args();
    args.first_channel = first, args.channels = channels, args.y = y.f32();
    args.segment_count = 1, args.segments = &all, args.state_in = &in, args.state_out = &to;
    table.wkv4(args, pool);
  }
  return {y.values(), {out.values()}};
}

// Whichever vector, lane or call holds a channel, it gets the same bits.
TEST_P(Wkv4Test, ChannelRangesHaveTheBitsOfAllChannelsAtOnce) {
  const auto& table = select(GetParam());
  const Index M = 20, D = 173;
  for (const Wkv4Kind kind : kWkv4Kinds) {
    const Wkv4Problem problem(M, D, kind, 21);
    const auto state = wkv4_state(D, 22);
    const auto expected = run_wkv4(table.wkv4, problem, {{0, M}}, {state}, 1);
    std::vector<std::pair<Index, Index>> singles;
    for (Index d = 0; d < D; ++d) singles.emplace_back(d, 1);
    for (const auto& ranges :
         {singles, {{0, 173}}, {{9, 164}, {0, 1}, {4, 0}, {1, 8}}, {{0, 64}, {64, 109}}}) {
      for (const int threads : {1, 2, 4}) {
        const auto got = run_ranges(table, problem, state, ranges, threads);
        EXPECT_TRUE(same_bits(got.y, expected.y)) << ranges.size() << " calls, " << threads << " threads";
        EXPECT_TRUE(same_bits(got.states[0], expected.states[0]))
            << ranges.size() << " calls, " << threads << " threads";
      }
    }
  }
}

// A call for some channels leaves the columns of the others alone; states may be unwanted.
TEST_P(Wkv4Test, WritesOnlyItsChannels) {
  const auto& table = select(GetParam());
  Threads pool(2);
  const Index M = 3, D = 100;
  const Wkv4Problem problem(M, D, Wkv4Kind::usual, 31);
  Output y(M * D, DType::f32);
  const Segment all = {0, M};
  const float* in = nullptr;
  float* out = nullptr;
  Wkv4Args args = problem.args();
  args.first_channel = 7, args.channels = 75, args.y = y.f32();
  args.segment_count = 1, args.segments = &all, args.state_in = &in, args.state_out = &out;
  table.wkv4(args, pool);
  for (Index i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i % D < 7 || i % D >= 82) << i;
}

TEST_P(Wkv4Test, ASegmentHasTheBitsItHasAlone) {
  const auto& table = select(GetParam());
  const Index D = 100;
  const std::vector<Segment> segments = {{0, 0}, {0, 17}, {17, 18}, {18, 18}, {18, 50}, {50, 50}};
  const Wkv4Problem all(50, D, Wkv4Kind::long_memory, 41);
  std::vector<std::vector<float>> states;
  for (unsigned s = 0; s < 6; ++s) states.push_back(s % 2 == 0 ? wkv4_state(D, s) : std::vector<float>());
  const auto together = run_wkv4(table.wkv4, all, segments, states, 3);
  for (std::size_t s = 0; s < segments.size(); ++s) {
    const auto [begin, end] = segments[s];
    const auto alone = run_wkv4(table.wkv4, all.rows(begin, end), {{0, end - begin}}, {states[s]}, 1);
    const std::vector<float> rows(together.y.begin() + begin * D, together.y.begin() + end * D);
    EXPECT_TRUE(same_bits(rows, alone.y)) << "segment " << s;
    EXPECT_TRUE(same_bits(together.states[s], alone.states[0])) << "segment " << s;
    if (begin < end) continue;
    for (Index i = 0; i < 3 * D; ++i) {
      const float unchanged = !states[s].empty() ? states[s][i] : i % 3 == 2 ? kWkv4NoPast : 0.0f;
      EXPECT_EQ(together.states[s][i], unchanged) << "empty segment " << s;
    }
  }
}

// With a decay this weak and nothing of weight added, the first token must still be there after a thousand.
TEST_P(Wkv4Test, LongMemoryIsKept) {
  const auto& table = select(GetParam());
  const Index M = 1000, D = 20;
  Wkv4Problem problem(M, D, Wkv4Kind::usual, 51);
  std::fill(problem.w.begin(), problem.w.end(), -1e-6f), std::fill(problem.u.begin(), problem.u.end(), 0.0f);
  for (Index i = D; i < M * D; ++i) problem.k[i] = -60;
  std::fill_n(problem.k.begin(), D, 0.0f), std::fill_n(problem.v.begin(), D, 7.0f);
  const auto result = run_wkv4(table.wkv4, problem, {{0, M}}, {{}}, 1);
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
  auto state = wkv4_state(D, 62);
  problem.v[2 * D + 5] = problem.k[3 * D + 40] = problem.k[99] = kNaN;
  state[3 * 70] = state[3 * 71 + 1] = state[3 * 72 + 2] = kNaN;
  const auto result = run_wkv4(table.wkv4, problem, {{0, M}}, {state}, 2);
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

TEST_P(Wkv4Test, RefusesWhatDoesNotFit) {
  const auto& table = select(GetParam());
  const Wkv4Problem problem(4, 8, Wkv4Kind::usual, 71);
  for (const std::vector<Segment>& segments :
       std::vector<std::vector<Segment>>{{{0, 3}}, {{1, 4}}, {{0, 2}, {3, 4}}, {{0, 5}}}) {
    EXPECT_THROW(run_wkv4(table.wkv4, problem, segments, std::vector<std::vector<float>>(segments.size()), 1),
                 Error);
  }
  const auto state = wkv4_state(8, 72);
  EXPECT_THROW(run_ranges(table, problem, state, {{1, 8}}, 1), Error);
  EXPECT_THROW(run_ranges(table, problem, state, {{-1, 2}}, 1), Error);
}

INSTANTIATE_TEST_SUITE_P(Backends, Wkv4Test, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
