// Lerps whose weights depend on the token: what ShiftMix leaves for them, and what they make of it.
#include "support.h"

namespace riverrun::kernels {
namespace {

class MixTest : public testing::TestWithParam<Variant> {};
class FastMixTest : public testing::TestWithParam<Variant> {};

constexpr float kEps = 1e-5f;
constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};
const std::vector<std::vector<Segment>> kCuts = {
    {}, {{0, 0}}, {{0, 1}}, {{0, 65}}, {{0, 17}, {17, 18}, {18, 18}, {18, 40}}};

struct ShiftResult {
  std::vector<float> out, normal, change, rows_out;
};

// ShiftMix with one lerp or none; every second segment has a row before it.
struct ShiftProblem {
  std::vector<Segment> segments;
  Index M, D;
  std::vector<float> x, weight, bias, mu, row_in;

  ShiftProblem(std::vector<Segment> parts, Index width)
      : segments(std::move(parts)), M(segments.empty() ? 0 : segments.back().end), D(width) {
    Random random(static_cast<unsigned>(M + D));
    x = random.normals(M * D, 3), weight = random.normals(D), bias = random.normals(D),
    mu = random.normals(D, 0.5f), row_in = random.normals(D);
  }

  ShiftResult run(const KernelTable& table, Index mixes, bool want_normal, bool want_change,
                  int threads) const {
    Threads pool(threads);
    const auto count = static_cast<Index>(segments.size());
    Output out(M * D, DType::f32), normal(M * D, DType::f32), change(M * D, DType::f32);
    Output rows_out(count * D, DType::f32);
    std::vector<const float*> in(segments.size(), nullptr);
    std::vector<float*> to;
    for (Index s = 0; s < count; ++s) {
      if (s % 2 == 0) in[s] = row_in.data();
      to.push_back(rows_out.f32() + s * D);
    }
    const float* weights = mu.data();
    void* mixed = out.data();
    table.shift_mix({M, D, x.data(), weight.data(), bias.data(), kEps, count, segments.data(), in.data(),
                     to.data(), mixes, mixes == 0 ? nullptr : &weights, mixes == 0 ? nullptr : &mixed,
                     DType::f32, want_normal ? normal.f32() : nullptr, want_change ? change.f32() : nullptr},
                    pool);
    return {out.values(), normal.values(), change.values(), rows_out.values()};
  }
};

// normal has the bits of LayerNorm, change those of a subtraction of its rows, with lerps or without.
TEST_P(MixTest, ShiftMixLeavesNormalAndChange) {
  const auto& table = select(GetParam());
  for (const auto& cuts : kCuts) {
    for (const Index D : {1, 3, 8, 20, 64, 100, 768}) {
      const ShiftProblem problem(cuts, D);
      const Index M = problem.M;
      Threads pool(1);
      std::vector<float> normal(M * D), change(M * D);
      table.layer_norm({M, D, problem.x.data(), problem.weight.data(), problem.bias.data(), kEps,
                        normal.data(), DType::f32},
                       pool);
      for (std::size_t s = 0; s < cuts.size(); ++s) {
        for (Index i = cuts[s].begin * D; i < cuts[s].end * D; ++i) {
          const bool first = i / D == cuts[s].begin;
          change[i] = (!first ? normal[i - D] : s % 2 == 0 ? problem.row_in[i % D] : 0.0f) - normal[i];
        }
      }
      const auto plain = problem.run(table, 1, false, false, 2);
      for (const Index mixes : {0, 1}) {
        for (const int threads : {1, 3}) {
          const auto what = concat(cuts.size(), " segments, D ", D, ", ", mixes, " lerps");
          const auto both = problem.run(table, mixes, true, true, threads);
          EXPECT_TRUE(same_bits(both.normal, normal)) << what;
          EXPECT_TRUE(same_bits(both.change, change)) << what;
          EXPECT_TRUE(same_bits(both.rows_out, plain.rows_out)) << what;
          EXPECT_TRUE(mixes == 0 || same_bits(both.out, plain.out)) << what;
          EXPECT_TRUE(same_bits(problem.run(table, mixes, true, false, threads).normal, normal)) << what;
          EXPECT_TRUE(same_bits(problem.run(table, mixes, false, true, threads).change, change)) << what;
        }
      }
    }
  }
}

struct DynamicProblem {
  Index M, D, mixes;
  std::vector<float> normal, change, mu, delta;

  DynamicProblem(Index rows, Index width, Index count) : M(rows), D(width), mixes(count) {
    Random random(static_cast<unsigned>(rows + width));
    normal = random.normals(M * D), change = random.normals(M * D), mu = random.normals(mixes * D),
    delta = random.normals(mixes * M * D);
  }
  std::vector<std::vector<float>> run(const KernelTable& table, DType type, int threads) const {
    Threads pool(threads);
    std::vector<std::unique_ptr<Output>> outputs;
    std::vector<const float*> mus, deltas;
    std::vector<void*> to;
    for (Index q = 0; q < mixes; ++q) {
      outputs.push_back(std::make_unique<Output>(M * D, type));
      to.push_back(outputs.back()->data());
      mus.push_back(mu.data() + q * D), deltas.push_back(delta.data() + q * M * D);
    }
    table.dynamic_mix({M, D, normal.data(), change.data(), mixes, mus.data(), deltas.data(), to.data(), type},
                      pool);
    std::vector<std::vector<float>> results;
    for (const auto& output : outputs) results.push_back(output->values());
    return results;
  }
};

TEST_P(MixTest, DynamicMixAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index D : {1, 3, 8, 20, 64, 100, 768}) {
    for (const Index M : {0, 1, 2, 65}) {
      for (const Index mixes : {0, 1, 5}) {
        const DynamicProblem problem(M, D, mixes);
        const auto expected = problem.run(oracle(), DType::f32, 1);
        for (const DType type : kTypes) {
          const auto what = concat("D ", D, ", M ", M, ", ", name_of(type));
          const auto got = problem.run(table, type, 3), alone = problem.run(table, type, 1);
          for (Index q = 0; q < mixes; ++q) {
            // Roundings of mu + delta, of its product with change, and of the sum: normal numbers below 6.
            expect_near(got[q], expected[q], (2 * 6 * 12 + 6) * kRoundoff, rounding_of(type), what);
            EXPECT_TRUE(same_bits(got[q], alone[q])) << what;
          }
        }
      }
    }
  }
}

TEST_P(MixTest, DynamicMixByHand) {
  const auto& table = select(GetParam());
  DynamicProblem problem(2, 2, 2);
  problem.normal = {1, 2, 3, 4}, problem.change = {2, -1, 0.5f, 0}, problem.mu = {0.5f, 1, 0, -1};
  problem.delta = {0.5f, 1, -0.5f, 7, 1, 2, 3, kNaN};
  const auto out = problem.run(table, DType::f32, 1);
  EXPECT_EQ(out[0], (std::vector<float>{3, 0, 3, 4}));
  EXPECT_EQ(out[1][0], 3);
  EXPECT_EQ(out[1][1], 1);
  EXPECT_EQ(out[1][2], 4.5f);
  EXPECT_TRUE(std::isnan(out[1][3]));  // a NaN reaches its element, times 0 too
}

// The two ways to one lerp must not drift apart. (The reference does not round in between.)
TEST_P(FastMixTest, DynamicMixWithoutDeltaHasTheBitsOfShiftMix) {
  const auto& table = select(GetParam());
  for (const Index D : {3, 100, 768}) {
    const ShiftProblem shift({{0, 5}, {5, 21}}, D);
    const auto expected = shift.run(table, 1, true, true, 2);
    DynamicProblem problem(shift.M, D, 1);
    problem.normal = expected.normal, problem.change = expected.change, problem.mu = shift.mu;
    problem.delta.assign(problem.delta.size(), 0.0f);
    EXPECT_TRUE(same_bits(problem.run(table, DType::f32, 2)[0], expected.out)) << "D " << D;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, MixTest, testing::ValuesIn(all_variants()), name_of_test);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FastMixTest);  // a build may hold the reference alone
INSTANTIATE_TEST_SUITE_P(Backends, FastMixTest, testing::ValuesIn(fast_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
