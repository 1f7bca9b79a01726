// The chunked form of WKV-4 against the recurrence: whole chunks, rests, several segments, every kind of
// decay.
#include "kernels/reference/wkv4_chunk.h"

#include "wkv4_problem.h"

namespace riverrun::kernels {
namespace {

using reference::kWkv4Chunk;
using reference::merge;
using reference::Wkv4Sum;

KernelTable chunked() {
  KernelTable table = oracle();
  table.wkv4 = reference::wkv4_chunk;
  return table;
}

// Most of it is the recurrence's own error: it rounds p after every token, by up to 2^-24 |p| (|p| <= 80 in
// the kind `extreme`), and each such rounding shifts the past against the present by that factor.
double tolerance(Index M, Wkv4Kind kind) {
  const double largest_p = kind == Wkv4Kind::extreme ? 80 : 16;
  return (16 + static_cast<double>(M) * largest_p) * kRoundoff;
}

void expect_chunks_agree(const Wkv4Problem& problem, Wkv4Kind kind, const std::vector<Segment>& segments,
                         const std::vector<std::vector<float>>& states, const std::string& what) {
  expect_wkv4_agreement(chunked(), problem, segments, states, 1, tolerance(problem.M, kind), what);
}

TEST(Wkv4Chunk, AgreesWithTheRecurrence) {
  const Index C = kWkv4Chunk;
  for (const Wkv4Kind kind : kWkv4Kinds) {
    for (const Index D : {1, 20, 64}) {
      for (const Index M : {Index{0}, Index{1}, C - 1, C, C + 1, 4 * C + 1}) {
        const auto what = concat("kind ", static_cast<int>(kind), ", D ", D, ", M ", M);
        const Wkv4Problem problem(M, D, kind, 3);
        expect_chunks_agree(problem, kind, {{0, M}}, {problem.state(2)}, what);
        expect_chunks_agree(problem, kind, {{0, M}}, {{}}, what + ", no state");
      }
    }
  }
}

TEST(Wkv4Chunk, KeepsSegmentsApart) {
  const Wkv4Problem problem(70, 20, Wkv4Kind::long_memory, 4);
  expect_chunks_agree(problem, Wkv4Kind::long_memory, {{0, 3}, {3, 3}, {3, 20}, {20, 70}},
                      {{}, problem.state(5), {}, problem.state(6)}, "segments");
}

// The chunk grid starts at the segment, so a cut on the grid changes no bit.
TEST(Wkv4Chunk, ACutOnTheGridChangesNoBit) {
  for (const Wkv4Kind kind : kWkv4Kinds) {
    expect_cuts_change_no_bit(chunked(), Wkv4Problem(3 * kWkv4Chunk + 7, 20, kind, 6), {}, {kWkv4Chunk, 2 * kWkv4Chunk, 3 * kWkv4Chunk});
  }
}

// What lets a kernel sum chunks by themselves.
TEST(Wkv4Chunk, MergeIsAssociative) {
  Random random(7);
  for (int i = 0; i < 1000; ++i) {
    Wkv4Sum sums[3];
    for (auto& sum : sums) sum = {random.normal(), random.uniform(0.5f, 20), random.uniform(-80, 80)};
    const double after = random.uniform(-20, 0),
                 last = random.uniform(-20, 0);  // decay over the 2nd sum, the 3rd
    const auto left = merge(merge(sums[0], sums[1], after), sums[2], last);
    const auto right = merge(sums[0], merge(sums[1], sums[2], last), after + last);
    // Either way p is the largest of three exponents, rounded in other places: by at most 2^-24 * 120 each.
    const double factor = std::exp(double{left.p} - right.p);
    EXPECT_NEAR(left.p, right.p, 4 * 120 * kRoundoff);
    EXPECT_NEAR(left.b * factor, right.b, 8 * kRoundoff * right.b);
    EXPECT_NEAR(left.a * factor, right.a, 8 * kRoundoff * 6 * right.b);
  }
}

TEST(Wkv4Chunk, MergeWithAnEmptySumChangesNothing) {
  const Wkv4Sum some = {3, 2, -7};
  for (const auto& sum : {merge(some, {}, 0), merge({}, some, -300)}) {
    EXPECT_EQ(sum.a, 3);
    EXPECT_EQ(sum.b, 2);
    EXPECT_EQ(sum.p, -7);
  }
}

// One addition of w * 16 where the recurrence rounds 16 additions of w: a decay below half the distance
// between neighbours of p is lost there, and kept here.
TEST(Wkv4Chunk, KeepsDecaysThatTheRecurrenceRoundsAway) {
  const Index M = 16 * kWkv4Chunk;
  Wkv4Problem problem(M, 1, Wkv4Kind::usual, 8);
  problem.w = {-1e-6f};
  std::fill(problem.k.begin(), problem.k.end(), -1e4f);
  const std::vector<float> state = {1, 1, 80};
  const double kept = std::exp(80 - M * 1e-6);
  const auto in_chunks = run_recurrence(chunked(), problem, {{0, M}}, {state}, 1).states[0];
  const auto serial = run_recurrence(oracle(), problem, {{0, M}}, {state}, 1).states[0];
  EXPECT_NEAR(in_chunks[1] * std::exp(double{in_chunks[2]}) / kept, 1, 64 * kRoundoff);
  EXPECT_EQ(serial[2], 80);
}

}  // namespace
}  // namespace riverrun::kernels
