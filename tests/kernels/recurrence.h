// What the tests of the recurrences share: one way to call them, and the properties that all of them have.
//
// A problem (Wkv4Problem, Wkv6Problem, Wkv7Problem) is M tokens of random operands for `parts` heads or
// channels that never meet: width() columns in all, state_size() floats of state.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "support.h"

namespace riverrun::kernels {

// Rows [begin, end) of `width` columns.
inline std::vector<float> rows_of(const std::vector<float>& values, Index begin, Index end, Index width) {
  return {values.begin() + begin * width, values.begin() + end * width};
}

inline double largest(const std::vector<float>& values) {
  double most = 0;
  for (const float value : values) most = std::max(most, std::abs(double{value}));
  return most;
}

// Sizes of a problem with a state [head][value][key].
struct HeadSizes {
  Index M, H, N;

  Index parts() const { return H; }
  Index width() const { return H * N; }
  Index state_size() const { return H * N * N; }
  std::vector<float> state(unsigned seed) const { return Random(seed).normals(state_size()); }
  std::vector<float> no_past() const { return std::vector<float>(state_size()); }
  template <class Args>
  static void take_range(Args& args, Index first, Index count) {
    args.first_head = first, args.heads = count;
  }
};

// The same problem in a model whose operands have this type.
template <class Problem>
Problem in_type(DType operand, Problem problem) {
  problem.operand = operand;
  return problem;
}

// Results of a call: y of the first token and column of all, the states' of the call's first part.
struct Call {
  float* y;
  std::vector<Segment> segments;
  std::vector<const float*> in;  // per segment, null: no past
  std::vector<float*> out;       // per segment, null: not wanted
  Index first = 0, count = -1;   // of the parts; -1: all
};

template <class Problem>
void launch(const KernelTable& table, const Problem& problem, const Call& call, Stream stream) {
  auto args = problem.args();
  if (call.count >= 0) problem.take_range(args, call.first, call.count);
  args.y = call.y;
  args.segment_count = static_cast<Index>(call.segments.size()), args.segments = call.segments.data();
  args.state_in = call.in.data(), args.state_out = call.out.data();
  problem.run(table, args, stream);
}

struct RecurrenceResult {
  std::vector<float> y;                    // [M, width]
  std::vector<std::vector<float>> states;  // per segment
};

// All parts at once. `states_in` per segment, empty: null.
template <class Problem>
RecurrenceResult run_recurrence(const KernelTable& table, const Problem& problem,
                                const std::vector<Segment>& segments,
                                const std::vector<std::vector<float>>& states_in, int threads) {
  Threads pool(threads);
  Output y(problem.M * problem.width(), DType::f32);
  std::vector<std::unique_ptr<Output>> out;
  Call call = {y.f32(), segments, {}, {}};
  for (const auto& state : states_in) {
    call.in.push_back(state.empty() ? nullptr : state.data());
    out.push_back(std::make_unique<Output>(problem.state_size(), DType::f32));
    call.out.push_back(out.back()->f32());
  }
  launch(table, problem, call, pool);
  RecurrenceResult result = {y.values(), {}};
  for (const auto& state : out) result.states.push_back(state->values());
  return result;
}

// y and the states of `table` against the reference, within `tolerance` of the largest value.
template <class Problem>
void expect_agreement(const KernelTable& table, const Problem& problem, const std::vector<Segment>& segments,
                      const std::vector<std::vector<float>>& states, int threads, double tolerance,
                      const std::string& what) {
  const auto got = run_recurrence(table, problem, segments, states, threads);
  const auto expected = run_recurrence(oracle(), problem, segments, states, 1);
  expect_near(got.y, expected.y, tolerance * largest(expected.y), 0, what + ", y");
  for (std::size_t s = 0; s < segments.size(); ++s) {
    expect_near(got.states[s], expected.states[s], tolerance * largest(expected.states[s]), 0,
                what + ", state");
  }
}

// Root of the mean square of the difference, relative to that of what is expected.
inline double rms_error(const std::vector<float>& got, const std::vector<float>& expected) {
  double difference = 0, whole = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (double{got[i]} - expected[i]) * (double{got[i]} - expected[i]);
    whole += double{expected[i]} * expected[i];
  }
  return std::sqrt(difference / whole);
}

// What the ring rests on: cut a document, carry the state across the cut in place, and nothing changes.
// `state`: what came before the first token; empty: null.
template <class Problem>
void expect_cuts_change_no_bit(const KernelTable& table, const Problem& whole,
                               const std::vector<float>& state, const std::vector<Index>& cuts) {
  const Index M = whole.M, D = whole.width();
  const auto expected = run_recurrence(table, whole, {{0, M}}, {state}, 2);
  for (const Index cut : cuts) {
    Threads pool(3);
    std::vector<float> carried(whole.state_size(), kNaN), y(M * D, kNaN);
    if (!state.empty()) carried = state;
    const float* in = state.empty() ? nullptr : carried.data();
    for (const auto& [begin, end] : {Segment{0, cut}, Segment{cut, M}}) {
      launch(table, whole.tokens(begin, end), {y.data() + begin * D, {{0, end - begin}}, {in}, {carried.data()}},
             pool);
      in = carried.data();
    }
    EXPECT_TRUE(same_bits(y, expected.y)) << "cut at " << cut;
    EXPECT_TRUE(same_bits(carried, expected.states[0])) << "cut at " << cut;
  }
}

// One call per range of parts, whose states stand where those of all parts would.
template <class Problem>
RecurrenceResult run_ranges(const KernelTable& table, const Problem& problem, const std::vector<float>& state,
                            const std::vector<std::pair<Index, Index>>& ranges, int threads) {
  Threads pool(threads);
  Output y(problem.M * problem.width(), DType::f32), out(problem.state_size(), DType::f32);
  const Index size = problem.state_size() / problem.parts();
  for (const auto& [first, count] : ranges) {
    launch(table, problem,
           {y.f32(), {{0, problem.M}}, {state.data() + first * size}, {out.f32() + first * size}, first, count},
           pool);
  }
  return {y.values(), {out.values()}};
}

// Whichever task, vector or call holds a part, it gets the same bits. The ranges cover all parts.
template <class Problem>
void expect_ranges_have_the_bits_of_all(const KernelTable& table, const Problem& problem,
                                        const std::vector<std::pair<Index, Index>>& ranges) {
  const auto state = problem.state(22);
  const auto expected = run_recurrence(table, problem, {{0, problem.M}}, {state}, 1);
  for (const int threads : {1, 2, 4}) {
    const auto got = run_ranges(table, problem, state, ranges, threads);
    EXPECT_TRUE(same_bits(got.y, expected.y)) << ranges.size() << " calls, " << threads << " threads";
    EXPECT_TRUE(same_bits(got.states[0], expected.states[0]))
        << ranges.size() << " calls, " << threads << " threads";
  }
}

// A call for some parts leaves the columns of the others alone; states may be unwanted.
template <class Problem>
void expect_only_a_range_is_written(const KernelTable& table, const Problem& problem, Index first,
                                    Index count) {
  Threads pool(2);
  const Index D = problem.width(), columns = D / problem.parts();
  Output y(problem.M * D, DType::f32);
  launch(table, problem, {y.f32(), {{0, problem.M}}, {nullptr}, {nullptr}, first, count}, pool);
  for (Index i = 0; i < y.size(); ++i) {
    const Index part = i % D / columns;
    EXPECT_EQ(std::isnan(y[i]), part < first || part >= first + count) << i;
  }
}

// Segments of 50 tokens, empty ones among them, half of them with a past.
template <class Problem>
void expect_segments_have_the_bits_they_have_alone(const KernelTable& table, const Problem& all) {
  const std::vector<Segment> segments = {{0, 0}, {0, 17}, {17, 18}, {18, 18}, {18, 50}, {50, 50}};
  std::vector<std::vector<float>> states;
  for (unsigned s = 0; s < 6; ++s) states.push_back(s % 2 == 0 ? all.state(s) : std::vector<float>());
  const auto together = run_recurrence(table, all, segments, states, 3);
  for (std::size_t s = 0; s < segments.size(); ++s) {
    const auto [begin, end] = segments[s];
    const auto alone = run_recurrence(table, all.tokens(begin, end), {{0, end - begin}}, {states[s]}, 1);
    EXPECT_TRUE(same_bits(rows_of(together.y, begin, end, all.width()), alone.y)) << "segment " << s;
    EXPECT_TRUE(same_bits(together.states[s], alone.states[0])) << "segment " << s;
    if (begin < end) continue;
    EXPECT_EQ(together.states[s], states[s].empty() ? all.no_past() : states[s]) << "empty segment " << s;
  }
}

// Decoding: one token of each of many sequences, the states changed where they are.
template <class Problem>
void expect_one_token_of_many_has_the_bits_it_has_alone(const KernelTable& table, const Problem& all) {
  std::vector<std::vector<float>> states;
  Output y(all.M * all.width(), DType::f32);
  for (Index s = 0; s < all.M; ++s) states.push_back(all.state(static_cast<unsigned>(s)));
  const auto before = states;
  Call call = {y.f32(), {}, {}, {}};
  for (Index s = 0; s < all.M; ++s) {
    call.segments.push_back({s, s + 1}), call.in.push_back(states[s].data()), call.out.push_back(states[s].data());
  }
  Threads pool(3);
  launch(table, all, call, pool);
  for (Index s = 0; s < all.M; ++s) {
    const auto alone = run_recurrence(table, all.tokens(s, s + 1), {{0, 1}}, {before[s]}, 1);
    EXPECT_TRUE(same_bits(rows_of(y.values(), s, s + 1, all.width()), alone.y)) << "sequence " << s;
    EXPECT_TRUE(same_bits(states[s], alone.states[0])) << "sequence " << s;
  }
}

// Segments that do not cover the rows, and parts that are not there.
template <class Problem>
void expect_refusals(const KernelTable& table, const Problem& four_tokens) {
  for (const std::vector<Segment>& segments :
       std::vector<std::vector<Segment>>{{{0, 3}}, {{1, 4}}, {{0, 2}, {3, 4}}, {{0, 5}}}) {
    const std::vector<std::vector<float>> no_states(segments.size());
    EXPECT_THROW(run_recurrence(table, four_tokens, segments, no_states, 1), Error);
  }
  const auto state = four_tokens.state(72);
  EXPECT_THROW(run_ranges(table, four_tokens, state, {{1, four_tokens.parts()}}, 1), Error);
  EXPECT_THROW(run_ranges(table, four_tokens, state, {{-1, 2}}, 1), Error);
}

}  // namespace riverrun::kernels
