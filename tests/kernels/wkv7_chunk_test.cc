// The chunked form of WKV-7 against the recurrence: whole chunks, rests, several segments, every kind of
// decay.
#include "kernels/reference/wkv7_chunk.h"

#include "wkv7_problem.h"

namespace riverrun::kernels {
namespace {

using reference::kChunk;

KernelTable chunked() {
  KernelTable table = oracle();
  table.wkv7 = reference::wkv7_chunk;
  return table;
}

// Chunked fp32 was measured within 5e-6 of the largest |y| of an fp64 recurrence (repeated keys the worst).
constexpr double kTolerance = 1e-5;

void expect_chunks_agree(const Wkv7Problem& problem, const std::vector<Segment>& segments,
                         const std::vector<std::vector<float>>& states, const std::string& what) {
  expect_agreement(chunked(), problem, segments, states, 1, kTolerance, what);
}

TEST(Wkv7Chunk, AgreesWithTheRecurrence) {
  for (const Kind kind : kKinds) {
    for (const Index N : {8, 32, 64, 128}) {
      const auto state = Random(2).normals(2 * N * N);
      for (const Index M : {Index{0}, Index{1}, kChunk - 1, kChunk, kChunk + 1, 4 * kChunk + 1}) {
        const auto what = concat("kind ", static_cast<int>(kind), ", N ", N, ", M ", M);
        expect_chunks_agree(Wkv7Problem(M, 2, N, kind, 3), {{0, M}}, {state}, what);
      }
    }
  }
}

TEST(Wkv7Chunk, KeepsSegmentsApart) {
  const std::vector<Segment> segments = {{0, 3}, {3, 3}, {3, 20}, {20, 70}};
  expect_chunks_agree(Wkv7Problem(70, 2, 64, Kind::usual, 4), segments,
                   {{}, Random(5).normals(2 * 64 * 64), {}, {}}, "segments");
}

// What design rests on: the chunk grid starts at the document, so a cut on the grid changes no bit.
TEST(Wkv7Chunk, ACutOnTheGridChangesNoBit) {
  const Wkv7Problem whole(50, 1, 64, Kind::long_memory, 6);
  expect_cuts_change_no_bit(chunked(), whole, {}, {kChunk, 2 * kChunk, 3 * kChunk});
}

TEST(Wkv7Chunk, OperandsInTf32CostWhatTheirRoundingSays) {
  for (const Kind kind : kKinds) {
    for (const Index M : {100, 1000}) {
      const auto problem = in_type(DType::bf16, Wkv7Problem(M, 1, 64, kind, 8));
      const double error = rms_error(run_recurrence(chunked(), problem, {{0, M}}, {{}}, 1).y,
                                     run_recurrence(oracle(), problem, {{0, M}}, {{}}, 1).y);
      EXPECT_LE(error, cost_of_tf32(kind, M)) << "kind " << static_cast<int>(kind) << ", M " << M;
      EXPECT_GE(error, 0x1p-13) << "nothing was rounded, kind " << static_cast<int>(kind);
    }
  }
}

TEST(Wkv7Chunk, ACutOnTheGridChangesNoBitOfRoundedOperandsEither) {
  const auto whole = in_type(DType::f16, Wkv7Problem(50, 1, 64, Kind::long_memory, 6));
  expect_cuts_change_no_bit(chunked(), whole, {}, {kChunk, 3 * kChunk});
}

// Rows of one key, one rate: (I - L)^-1 by powers of L would be off by more than 1 here in low precision.
TEST(Wkv7Chunk, SurvivesAThousandRepeatedKeys) {
  expect_chunks_agree(Wkv7Problem(1000, 1, 64, Kind::repeated_key, 7), {{0, 1000}}, {{}}, "repeated keys");
}

}  // namespace
}  // namespace riverrun::kernels
