// The WKV-7 recurrence: right against the reference, and the same bits however it is cut.
#include "kernels/wkv7.h"

#include "wkv7_problem.h"

namespace riverrun::kernels {
namespace {

class Wkv7Test : public testing::TestWithParam<Variant> {};

double largest(const std::vector<float>& values) {
  double most = 0;
  for (const float value : values) most = std::max(most, std::abs(double{value}));
  return most;
}

// fp32 recurrences were measured at up to 3e-6 of the largest |y| against fp64 in 1,000,000 tokens (repeated
// keys the worst); each of M tokens adds some roundings of sums of N terms, so 1e-5 leaves room for the few
// hundred here.
constexpr double kTolerance = 1e-5;

void expect_agreement(const KernelTable& table, const Wkv7Problem& problem,
                      const std::vector<Segment>& segments, const std::vector<std::vector<float>>& states,
                      int threads, const std::string& what) {
  const auto got = run_wkv7(table, problem, segments, states, threads);
  const auto expected = run_wkv7(oracle(), problem, segments, states, 1);
  expect_near(got.y, expected.y, kTolerance * largest(expected.y), 0, what + ", y");
  for (std::size_t s = 0; s < segments.size(); ++s) {
    expect_near(got.states[s], expected.states[s], kTolerance * largest(expected.states[s]), 0,
                what + ", state");
  }
}

TEST_P(Wkv7Test, AgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Kind kind : kKinds) {
    for (const Index N : {8, 32, 64, 128}) {
      for (const Index M : {0, 1, 2, 65}) {
        const Wkv7Problem problem(M, 3, N, kind, 5);
        const std::vector<float> state = Random(6).normals(3 * N * N);
        const auto what = concat("kind ", static_cast<int>(kind), ", N ", N, ", M ", M);
        expect_agreement(table, problem, {{0, M}}, {{}}, 2, what + ", no state");
        expect_agreement(table, problem, {{0, M}}, {state}, 2, what);
      }
    }
    for (const Index N : {1, 4, 20, 48, 96})
      expect_agreement(table, Wkv7Problem(9, 2, N, kind, 7), {{0, 9}}, {{}}, 2, concat("N ", N));
    const Index many = emulated(GetParam()) ? 100 : 700;
    expect_agreement(table, Wkv7Problem(many, 1, 64, kind, 8), {{0, many}}, {{}}, 3, "many tokens");
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

// What the ring rests on: cut a document, carry the state across the cut, and nothing changes.
TEST_P(Wkv7Test, CarryingStateAcrossACutChangesNoBit) {
  const auto& table = select(GetParam());
  const Index M = 40, H = 2, N = 64, D = H * N;
  for (const Kind kind : kKinds) {
    const Wkv7Problem whole(M, H, N, kind, 11);
    const std::vector<float> state = Random(12).normals(H * N * N);
    const auto expected = run_wkv7(table, whole, {{0, M}}, {state}, 2);
    for (const Index cut : cuts_of_40(GetParam())) {
      Threads pool(3);
      std::vector<float> carried = state, y(M * D, kNaN);
      for (const Segment part : {Segment{0, cut}, Segment{cut, M}}) {
        const Index at = part.begin * D, rows = part.end - part.begin;
        const Segment all = {0, rows};
        float* states = carried.data();
        table.wkv7({rows, H, N, 0, H, whole.r.data() + at, whole.w.data() + at, whole.k.data() + at,
                    whole.v.data() + at, whole.a.data() + at, whole.b.data() + at, y.data() + at, 1, &all,
                    &states, &states},
                   pool);
      }
      EXPECT_TRUE(same_bits(y, expected.y)) << "cut at " << cut;
      EXPECT_TRUE(same_bits(carried, expected.states[0])) << "cut at " << cut;
    }
  }
}

TEST_P(Wkv7Test, HeadRangesHaveTheBitsOfAllHeadsAtOnce) {
  const auto& table = select(GetParam());
  const Index M = 20, H = 5;
  for (const Index N : {32, 64}) {
    const Wkv7Problem problem(M, H, N, Kind::usual, 21);
    const std::vector<float> state = Random(22).normals(H * N * N);
    const auto expected = run_wkv7(table, problem, {{0, M}}, {state}, 1);
    for (const int threads : {1, 2, 4}) {
      Threads pool(threads);
      Output y(M * H * N, DType::f32), out(H * N * N, DType::f32);
      const Segment all = {0, M};
      for (const auto& [first, heads] : {std::pair<Index, Index>{3, 2}, {0, 1}, {1, 0}, {1, 2}}) {
        Wkv7Args args = problem.args();
        const float* in = state.data() + first * N * N;
        float* to = out.f32() + first * N * N;
        args.first_head = first, args.heads = heads, args.y = y.f32();
        args.segment_count = 1, args.segments = &all, args.state_in = &in, args.state_out = &to;
        table.wkv7(args, pool);
      }
      EXPECT_TRUE(same_bits(y.values(), expected.y)) << threads << " threads";
      EXPECT_TRUE(same_bits(out.values(), expected.states[0])) << threads << " threads";
    }
  }
}

// A call for some heads leaves the columns of the others alone.
TEST_P(Wkv7Test, WritesOnlyItsHeads) {
  const auto& table = select(GetParam());
  Threads pool(2);
  const Wkv7Problem problem(3, 3, 64, Kind::usual, 31);
  Output y(3 * 3 * 64, DType::f32);
  const Segment all = {0, 3};
  const float* in = nullptr;
  float* out = nullptr;
  Wkv7Args args = problem.args();
  args.first_head = 1, args.heads = 1, args.y = y.f32();
  args.segment_count = 1, args.segments = &all, args.state_in = &in, args.state_out = &out;
  table.wkv7(args, pool);
  for (Index i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 64 % 3 != 1) << i;
}

TEST_P(Wkv7Test, ASegmentHasTheBitsItHasAlone) {
  const auto& table = select(GetParam());
  const Index H = 2, N = 64, D = H * N;
  const std::vector<Segment> segments = {{0, 0}, {0, 17}, {17, 18}, {18, 18}, {18, 50}, {50, 50}};
  const Wkv7Problem all(50, H, N, Kind::long_memory, 41);
  std::vector<std::vector<float>> states;
  for (unsigned s = 0; s < 6; ++s)
    states.push_back(s % 2 == 0 ? Random(s).normals(H * N * N) : std::vector<float>());
  const auto together = run_wkv7(table, all, segments, states, 3);
  for (std::size_t s = 0; s < segments.size(); ++s) {
    const auto [begin, end] = segments[s];
    Wkv7Problem one = all;
    one.M = end - begin;
    for (auto* data : {&one.r, &one.w, &one.k, &one.v, &one.a, &one.b}) {
      *data = std::vector<float>(data->begin() + begin * D, data->begin() + end * D);
    }
    const auto alone = run_wkv7(table, one, {{0, one.M}}, {states[s]}, 1);
    const std::vector<float> rows(together.y.begin() + begin * D, together.y.begin() + end * D);
    EXPECT_TRUE(same_bits(rows, alone.y)) << "segment " << s;
    EXPECT_TRUE(same_bits(together.states[s], alone.states[0])) << "segment " << s;
    if (begin == end) {
      const auto unchanged = states[s].empty() ? std::vector<float>(H * N * N, 0.0f) : states[s];
      EXPECT_EQ(together.states[s], unchanged) << "empty segment " << s;
    }
  }
}

// Decoding: one token of each of many sequences, the states changed where they are.
TEST_P(Wkv7Test, OneTokenOfManySequencesHasTheBitsItHasAlone) {
  const auto& table = select(GetParam());
  const Index M = 7, H = 3;
  for (const Index N : {8, 20, 32, 48, 64, 128}) {
    const Wkv7Problem all(M, H, N, Kind::usual, 45);
    std::vector<std::vector<float>> states;
    std::vector<float*> pointers;
    std::vector<Segment> segments;
    Output y(M * H * N, DType::f32);
    for (Index s = 0; s < M; ++s)
      segments.push_back({s, s + 1}), states.push_back(Random(static_cast<unsigned>(s)).normals(H * N * N));
    const auto before = states;
    for (auto& state : states) pointers.push_back(state.data());
    Wkv7Args args = all.args();
    args.y = y.f32(), args.segment_count = M, args.segments = segments.data();
    args.state_in = pointers.data(), args.state_out = pointers.data();
    Threads pool(3);
    table.wkv7(args, pool);
    for (Index s = 0; s < M; ++s) {
      Wkv7Problem one = all;
      one.M = 1;
      for (auto* data : {&one.r, &one.w, &one.k, &one.v, &one.a, &one.b})
        *data = std::vector<float>(data->begin() + s * H * N, data->begin() + (s + 1) * H * N);
      const auto alone = run_wkv7(table, one, {{0, 1}}, {before[s]}, 1);
      const auto values = y.values();
      const std::vector<float> row(values.begin() + s * H * N, values.begin() + (s + 1) * H * N);
      EXPECT_TRUE(same_bits(row, alone.y)) << "N " << N << ", sequence " << s;
      EXPECT_TRUE(same_bits(states[s], alone.states[0])) << "N " << N << ", sequence " << s;
    }
  }
}

// With a decay this close to 1 and nothing written, the state must still be there after hundreds of tokens.
TEST_P(Wkv7Test, LongMemoryIsKept) {
  const auto& table = select(GetParam());
  const Index M = emulated(GetParam()) ? 200 : 1000, N = 64;
  Wkv7Problem problem(M, 1, N, Kind::long_memory, 51);
  for (auto* data : {&problem.k, &problem.v, &problem.a, &problem.b})
    std::fill(data->begin(), data->end(), 0.0f);
  std::fill(problem.w.begin(), problem.w.end(), 1 - 0x1p-20f);
  const std::vector<float> state = Random(52).normals(N * N);
  const auto result = run_wkv7(table, problem, {{0, M}}, {state}, 1);
  std::vector<float> expected = state;
  for (auto& value : expected) value = static_cast<float>(value * std::pow(1 - 0x1p-20, M));
  expect_near(result.states[0], expected, 0, static_cast<double>(M) * kRoundoff, "state");
}

TEST_P(Wkv7Test, NanStaysInItsValueRowAndHead) {
  const auto& table = select(GetParam());
  const Index M = 6, H = 2, N = 64;
  Wkv7Problem problem(M, H, N, Kind::usual, 61);
  problem.v[(2 * H + 1) * N + 5] = kNaN;  // token 2, head 1, row 5
  const auto result = run_wkv7(table, problem, {{0, M}}, {{}}, 2);
  for (Index i = 0; i < M * H * N; ++i) {
    const Index t = i / (H * N), h = i / N % H, row = i % N;
    EXPECT_EQ(std::isnan(result.y[i]), t >= 2 && h == 1 && row == 5)
        << "token " << t << " head " << h << " row " << row;
  }
}

TEST_P(Wkv7Test, RefusesSegmentsThatDoNotCoverTheRows) {
  const auto& table = select(GetParam());
  const Wkv7Problem problem(4, 1, 8, Kind::usual, 71);
  for (const std::vector<Segment>& segments :
       std::vector<std::vector<Segment>>{{{0, 3}}, {{1, 4}}, {{0, 2}, {3, 4}}, {{0, 5}}}) {
    EXPECT_THROW(run_wkv7(table, problem, segments, std::vector<std::vector<float>>(segments.size()), 1),
                 Error);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Wkv7Test, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
