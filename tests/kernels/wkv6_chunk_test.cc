// The chunked form of WKV-6 against the recurrence: whole chunks, rests, several segments, every kind of
// decay, 0 among them.
#include "kernels/reference/wkv6_chunk.h"

#include "wkv6_problem.h"

namespace riverrun::kernels {
namespace {

using reference::kWkv6Chunk;
using reference::kWkv6Group;

KernelTable chunked() {
  KernelTable table = oracle();
  table.wkv6 = reference::wkv6_chunk;
  return table;
}

// Both have sums in fp64 and fp32 states, rounded every token or every chunk: 3.2e-7 of the largest value
// measured.
constexpr double kTolerance = 1e-6;

void expect_chunks_agree(const Wkv6Problem& problem, const std::vector<Segment>& segments,
                         const std::vector<std::vector<float>>& states, const std::string& what) {
  expect_agreement(chunked(), problem, segments, states, 1, kTolerance, what);
}

TEST(Wkv6Chunk, AgreesWithTheRecurrence) {
  for (const Decay kind : kDecays) {
    for (const bool same_decay : {false, true}) {
      for (const Index N : {8, 20, 64, 128}) {
        const auto state = Random(2).normals(2 * N * N);
        for (const Index M :
             {Index{0}, Index{1}, kWkv6Chunk - 1, kWkv6Chunk, kWkv6Chunk + 1, 4 * kWkv6Chunk + 1, kWkv6Group, kWkv6Group + 17}) {
          if (M >= kWkv6Group && N > 20) continue;  // plain loops
          const auto what = concat("kind ", static_cast<int>(kind), ", N ", N, ", M ", M);
          expect_chunks_agree(Wkv6Problem(M, 2, N, kind, 3, same_decay), {{0, M}}, {state}, what);
        }
      }
    }
  }
}

TEST(Wkv6Chunk, KeepsSegmentsApart) {
  const std::vector<Segment> segments = {{0, 3}, {3, 3}, {3, 20}, {20, 70}};
  for (const Decay kind : kDecays) {
    expect_chunks_agree(Wkv6Problem(70, 2, 64, kind, 4), segments, {{}, Random(5).normals(2 * 64 * 64), {}, {}},
                     "segments");
  }
}

TEST(Wkv6Chunk, OperandsInTf32CostWhatTheirRoundingSays) {
  for (const Decay kind : kDecays) {
    const auto problem = in_type(DType::bf16, Wkv6Problem(300, 1, 64, kind, 8));
    const double error = rms_error(run_recurrence(chunked(), problem, {{0, 300}}, {{}}, 1).y,
                                   run_recurrence(oracle(), problem, {{0, 300}}, {{}}, 1).y);
    EXPECT_LE(error, kCostOfTf32) << "kind " << static_cast<int>(kind);
    EXPECT_GE(error, 0x1p-13) << "nothing was rounded, kind " << static_cast<int>(kind);
  }
}

// What stands behind a decay of 0 must come out as if nothing had been before it, however large that was.
TEST(Wkv6Chunk, DecaysOfZeroLeaveTheRestAlone) {
  const Index M = 40, N = 64;
  for (const Index zero : {Index{0}, Index{7}, kWkv6Chunk - 1, kWkv6Chunk, Index{20}}) {
    Wkv6Problem problem(M, 1, N, Decay::long_memory, 8);
    std::fill_n(problem.w.begin() + zero * N, N, 0.0f);
    std::fill_n(problem.w.begin() + (zero + 2) * N, N / 2, 0.0f);
    const auto got = run_recurrence(chunked(), problem, {{0, M}}, {Random(9).normals(N * N, 1e6f)}, 1),
               expected = run_recurrence(oracle(), problem.tokens(zero, M), {{0, M - zero}}, {{}}, 1);
    const std::vector<float> y(got.y.begin() + (zero + 1) * N, got.y.end()),
        fresh(expected.y.begin() + N, expected.y.end());
    expect_near(y, fresh, kTolerance * largest(fresh), 0, concat("y behind a zero at ", zero));
    expect_near(got.states[0], expected.states[0], kTolerance * largest(expected.states[0]), 0, "state");
  }
}

// With nothing written a state fades by exactly its decays: the same error in every chunk would add up here.
TEST(Wkv6Chunk, LongMemoryFadesAtItsRate) {
  const Index M = 16000, N = 4;
  Wkv6Problem problem(M, 1, N, Decay::long_memory, 51, true);
  for (auto* data : {&problem.k, &problem.v}) std::fill(data->begin(), data->end(), 0.0f);
  const std::vector<float> state = Random(52).normals(N * N);
  const auto result = run_recurrence(chunked(), problem, {{0, M}}, {state}, 1);
  std::vector<float> expected = state;
  for (Index i = 0; i < N * N; ++i) {
    expected[i] =
        static_cast<float>(expected[i] * std::pow(double{problem.w[i % N]}, static_cast<double>(M)));
  }
  // A rounding of the chunk's decay and one of the state, 1000 times.
  expect_near(result.states[0], expected, 0, 2.0 * M / kWkv6Chunk * kRoundoff, "state");
}

// What design rests on: the chunk grid starts at the document, so a cut on the grid changes no bit.
TEST(Wkv6Chunk, ACutOnTheGridChangesNoBit) {
  for (const bool same_decay : {false, true}) {
    const Wkv6Problem whole(50, 1, 64, Decay::usual, 6, same_decay);
    expect_cuts_change_no_bit(chunked(), whole, {}, {kWkv6Chunk, 2 * kWkv6Chunk, 3 * kWkv6Chunk});
    expect_cuts_change_no_bit(chunked(), Wkv6Problem(kWkv6Group - 1, 1, 20, Decay::long_memory, 6, same_decay), {}, {4 * kWkv6Chunk});
    expect_cuts_change_no_bit(chunked(), Wkv6Problem(kWkv6Group, 1, 20, Decay::long_memory, 6, same_decay), {}, {kWkv6Group});
    const Wkv6Problem groups(2 * kWkv6Group + 20, 1, 20, Decay::long_memory, 6, same_decay);
    expect_cuts_change_no_bit(chunked(), groups, {}, {kWkv6Group, 2 * kWkv6Group});
  }
}

}  // namespace
}  // namespace riverrun::kernels
