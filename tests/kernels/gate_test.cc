// Gates and the matrices of DeepEmbed: right against the reference, every row by itself.
#include "kernels/gate.h"

#include "kernels/deep_embed.h"
#include "support.h"

namespace riverrun::kernels {
namespace {

class GateTest : public testing::TestWithParam<Variant> {};

constexpr Index kWidths[] = {1, 3, 8, 20, 64, 100, 768};
constexpr Index kRows[] = {0, 1, 2, 65};
constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};

// Two roundings of |a| (|b| + |bias|), or of |a b| + |x|, for normal numbers below 6.
constexpr double kTolerance = 2 * 6 * 12 * kRoundoff;

TEST_P(GateTest, GateAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index D : kWidths) {
    for (const Index M : kRows) {
      Random random(static_cast<unsigned>(D + M));
      const auto a = random.normals(M * D), b = random.normals(M * D), bias = random.normals(D);
      for (const float* shift : {bias.data(), static_cast<const float*>(nullptr)}) {
        const auto run = [&](const KernelTable& of, DType type, int threads) {
          Threads pool(threads);
          Output out(M * D, type);
          of.gate({M, D, a.data(), b.data(), shift, out.data(), type}, pool);
          return out.values();
        };
        const auto expected = run(oracle(), DType::f32, 1);
        for (const DType type : kTypes) {
          const auto what = concat("D ", D, ", M ", M, ", ", name_of(type));
          expect_near(run(table, type, 3), expected, kTolerance, rounding_of(type), what);
          EXPECT_TRUE(same_bits(run(table, type, 1), run(table, type, 4))) << what;
        }
      }
    }
  }
}

TEST_P(GateTest, GateByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const std::vector<float> a = {1, 2, -3, 4, 0.5f, -1}, b = {2, -1, 0.25f, 1, 8, 3}, bias = {1, 0, -0.25f};
  std::vector<float> out(6, kNaN);
  table.gate({2, 3, a.data(), b.data(), bias.data(), out.data(), DType::f32}, pool);
  EXPECT_EQ(out, (std::vector<float>{3, -2, 0, 8, 4, -2.75f}));
  table.gate({2, 3, a.data(), b.data(), nullptr, out.data(), DType::f32}, pool);
  EXPECT_EQ(out, (std::vector<float>{2, -2, -0.75f, 4, 4, -3}));
}

TEST_P(GateTest, GateInPlaceHasTheSameBits) {
  const auto& table = select(GetParam());
  Threads pool(2);
  for (const Index D : kWidths) {
    const Index M = 33;
    const auto a = Random(1).normals(M * D), b = Random(2).normals(M * D), bias = Random(3).normals(D);
    Output apart(M * D, DType::f32), over_a(a, DType::f32), over_b(b, DType::f32);
    table.gate({M, D, a.data(), b.data(), bias.data(), apart.data(), DType::f32}, pool);
    table.gate({M, D, over_a.f32(), b.data(), bias.data(), over_a.data(), DType::f32}, pool);
    table.gate({M, D, a.data(), over_b.f32(), bias.data(), over_b.data(), DType::f32}, pool);
    EXPECT_TRUE(same_bits(over_a.values(), apart.values())) << "D " << D;
    EXPECT_TRUE(same_bits(over_b.values(), apart.values())) << "D " << D;
  }
}

TEST_P(GateTest, GateAddAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index D : kWidths) {
    for (const Index M : kRows) {
      const auto a = Random(4).normals(M * D), b = Random(5).normals(M * D), x = Random(6).normals(M * D);
      const auto run = [&](const KernelTable& of, int threads) {
        Threads pool(threads);
        Output sum(x, DType::f32);
        of.gate_add({M, D, a.data(), b.data(), sum.f32()}, pool);
        return sum.values();
      };
      expect_near(run(table, 3), run(oracle(), 1), kTolerance, 0, concat("D ", D, ", M ", M));
      EXPECT_TRUE(same_bits(run(table, 1), run(table, 4))) << "D " << D << ", M " << M;
    }
  }
}

TEST_P(GateTest, GateAddByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const std::vector<float> a = {1, 2, -3, 4}, b = {2, -1, 0.25f, 1};
  std::vector<float> x = {10, 20, 30, kNaN};
  table.gate_add({2, 2, a.data(), b.data(), x.data()}, pool);
  EXPECT_EQ(x[0], 12);
  EXPECT_EQ(x[1], 18);
  EXPECT_EQ(x[2], 29.25f);
  EXPECT_TRUE(std::isnan(x[3]));
}

TEST_P(GateTest, NanStaysInItsElement) {
  const auto& table = select(GetParam());
  Threads pool(2);
  const Index M = 5, D = 100;
  auto a = Random(7).normals(M * D), b = Random(8).normals(M * D);
  a[203] = kNaN, b[371] = kNaN;
  for (const DType type : kTypes) {
    Output out(M * D, type);
    table.gate({M, D, a.data(), b.data(), nullptr, out.data(), type}, pool);
    for (Index i = 0; i < M * D; ++i) EXPECT_EQ(std::isnan(out[i]), i == 203 || i == 371) << i;
  }
  std::vector<float> x(M * D, 1);
  table.gate_add({M, D, a.data(), b.data(), x.data()}, pool);
  for (Index i = 0; i < M * D; ++i) EXPECT_EQ(std::isnan(x[i]), i == 203 || i == 371) << i;
}

TEST_P(GateTest, TokenMatrixAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index R : {1, 3, 8, 20, 32, 48, 100}) {
    for (const Index M : kRows) {
      const auto q = Random(9).normals(M * R), E = Random(10).normals(M * R * R);
      const auto run = [&](const KernelTable& of, DType type, int threads) {
        Threads pool(threads);
        Output out(M * R, type);
        of.token_matrix({M, R, q.data(), E.data(), out.data(), type}, pool);
        return out.values();
      };
      const auto expected = run(oracle(), DType::f32, 1);
      // R roundings of partial sums, each below sum_i |q_i E_ij| < 4 R.
      const double tolerance = static_cast<double>(R * (4 * R)) * kRoundoff;
      for (const DType type : kTypes) {
        const auto what = concat("R ", R, ", M ", M, ", ", name_of(type));
        expect_near(run(table, type, 3), expected, tolerance, rounding_of(type), what);
        EXPECT_TRUE(same_bits(run(table, type, 1), run(table, type, 4))) << what;
      }
    }
  }
}

// Row i of E belongs to q_i: a transposed reading would give {7, 16}.
TEST_P(GateTest, TokenMatrixByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const std::vector<float> q = {1, 2, 0, -1}, E = {1, 3, 4, 6, 5, 6, 7, kNaN};
  std::vector<float> out(4, -1);
  table.token_matrix({2, 2, q.data(), E.data(), out.data(), DType::f32}, pool);
  EXPECT_EQ(out[0], 9);
  EXPECT_EQ(out[1], 15);
  EXPECT_EQ(out[2], -7);
  EXPECT_TRUE(std::isnan(out[3]));
}

TEST_P(GateTest, ATokensMatrixIsItsOwn) {
  const auto& table = select(GetParam());
  const Index M = 19, R = 32;
  const auto q = Random(11).normals(M * R), E = Random(12).normals(M * R * R);
  Threads pool(3);
  Output together(M * R, DType::f32), alone(M * R, DType::f32);
  table.token_matrix({M, R, q.data(), E.data(), together.data(), DType::f32}, pool);
  for (Index m = 0; m < M; ++m) {
    table.token_matrix({1, R, q.data() + m * R, E.data() + m * R * R, alone.f32() + m * R, DType::f32}, pool);
  }
  EXPECT_TRUE(same_bits(together.values(), alone.values()));
}

INSTANTIATE_TEST_SUITE_P(Backends, GateTest, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
