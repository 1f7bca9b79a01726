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
void expect_agreement(const Wkv7Problem& problem, const std::vector<Segment>& segments,
                      const std::vector<std::vector<float>>& states, const std::string& what) {
  const auto got = run_wkv7(chunked(), problem, segments, states, 1),
             expected = run_wkv7(oracle(), problem, segments, states, 1);
  double most = 0;
  for (const float y : expected.y) most = std::max(most, std::abs(double{y}));
  expect_near(got.y, expected.y, 1e-5 * most, 0, what + ", y");
  for (std::size_t s = 0; s < segments.size(); ++s) {
    most = 0;
    for (const float value : expected.states[s]) most = std::max(most, std::abs(double{value}));
    expect_near(got.states[s], expected.states[s], 1e-5 * most, 0, what + ", state");
  }
}

TEST(Wkv7Chunk, AgreesWithTheRecurrence) {
  for (const Kind kind : kKinds) {
    for (const Index N : {8, 32, 64, 128}) {
      const auto state = Random(2).normals(2 * N * N);
      for (const Index M : {Index{0}, Index{1}, kChunk - 1, kChunk, kChunk + 1, 4 * kChunk + 1}) {
        const auto what = concat("kind ", static_cast<int>(kind), ", N ", N, ", M ", M);
        expect_agreement(Wkv7Problem(M, 2, N, kind, 3), {{0, M}}, {state}, what);
      }
    }
  }
}

TEST(Wkv7Chunk, KeepsSegmentsApart) {
  const std::vector<Segment> segments = {{0, 3}, {3, 3}, {3, 20}, {20, 70}};
  expect_agreement(Wkv7Problem(70, 2, 64, Kind::usual, 4), segments,
                   {{}, Random(5).normals(2 * 64 * 64), {}, {}}, "segments");
}

// What design rests on: the chunk grid starts at the document, so a cut on the grid changes no bit.
TEST(Wkv7Chunk, ACutOnTheGridChangesNoBit) {
  const Index M = 50, D = 64;
  const Wkv7Problem whole(M, 1, 64, Kind::long_memory, 6);
  const auto expected = run_wkv7(chunked(), whole, {{0, M}}, {{}}, 1);
  for (const Index cut : {kChunk, 2 * kChunk, 3 * kChunk}) {
    Wkv7Problem parts[2] = {whole, whole};
    for (const Index part : {0, 1}) {
      const Index begin = part == 0 ? 0 : cut, end = part == 0 ? cut : M;
      parts[part].M = end - begin;
      for (auto member : {&Wkv7Problem::r, &Wkv7Problem::w, &Wkv7Problem::k, &Wkv7Problem::v, &Wkv7Problem::a,
                          &Wkv7Problem::b}) {
        const auto& from = whole.*member;
        parts[part].*member = std::vector<float>(from.begin() + begin * D, from.begin() + end * D);
      }
    }
    const auto first = run_wkv7(chunked(), parts[0], {{0, cut}}, {{}}, 1);
    const auto second = run_wkv7(chunked(), parts[1], {{0, M - cut}}, {first.states[0]}, 1);
    auto y = first.y;
    y.insert(y.end(), second.y.begin(), second.y.end());
    EXPECT_TRUE(same_bits(y, expected.y)) << "cut at " << cut;
    EXPECT_TRUE(same_bits(second.states[0], expected.states[0])) << "cut at " << cut;
  }
}

// Rows of one key, one rate: (I - L)^-1 by powers of L would be off by more than 1 here in low precision.
TEST(Wkv7Chunk, SurvivesAThousandRepeatedKeys) {
  expect_agreement(Wkv7Problem(1000, 1, 64, Kind::repeated_key, 7), {{0, 1000}}, {{}}, "repeated keys");
}

}  // namespace
}  // namespace riverrun::kernels
