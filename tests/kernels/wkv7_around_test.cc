// What stands before and behind the WKV-7 recurrence: operands, group norm, bonus and gate.
#include "support.h"

namespace riverrun::kernels {
namespace {

class Wkv7AroundTest : public testing::TestWithParam<Variant> {};

struct InputsProblem {
  Index M, H, N;
  std::vector<float> w, k, v, a, v_mix, v_first, w0, a0, v0, k_k, k_a;

  InputsProblem(Index rows, Index heads, Index head_size, float spread = 2.0f)
      : M(rows), H(heads), N(head_size) {
    Random random(static_cast<unsigned>(M + N));
    const Index size = M * H * N, D = H * N;
    w = random.normals(size, spread), k = random.normals(size), v = random.normals(size),
    a = random.normals(size, spread);
    v_mix = random.normals(size, spread), v_first = random.normals(size);
    w0 = random.normals(D, spread), a0 = random.normals(D), v0 = random.normals(D), k_k = random.normals(D),
    k_a = random.normals(D);
  }

  // w, k, v, a, b one after the other.
  std::vector<std::vector<float>> run(const KernelTable& table, bool first_layer, int threads) const {
    Threads pool(threads);
    Output w_out(w, DType::f32), k_out(k, DType::f32), v_out(v, DType::f32), a_out(a, DType::f32),
        b_out(M * H * N, DType::f32);
    Wkv7InputsArgs args = {.M = M,
                           .H = H,
                           .N = N,
                           .w = w_out.f32(),
                           .k = k_out.f32(),
                           .v = v_out.f32(),
                           .a = a_out.f32(),
                           .b = b_out.f32(),
                           .w0 = w0.data(),
                           .a0 = a0.data(),
                           .k_k = k_k.data(),
                           .k_a = k_a.data()};
    if (!first_layer) args.v_mix = v_mix.data(), args.v_first = v_first.data(), args.v0 = v0.data();
    table.wkv7_inputs(args, pool);
    return {w_out.values(), k_out.values(), v_out.values(), a_out.values(), b_out.values()};
  }
};

// exp and sigmoid are good to 1 and about 4 units in the last place; each output is a handful of roundings on
// top, and the norm a sum of N squares: (8 + N / 8) roundings cover both.
double tolerance(Index N) { return (8.0 + static_cast<double>(N) / 8) * 2 * kRoundoff; }

TEST_P(Wkv7AroundTest, InputsAgreeWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index N : {1, 8, 20, 32, 64, 128}) {
    for (const Index M : {0, 1, 17, 65}) {
      const InputsProblem problem(M, 3, N);
      for (const bool first_layer : {true, false}) {
        const auto got = problem.run(table, first_layer, 3), expected = problem.run(oracle(), first_layer, 1);
        // 1 + (rate - 1) k_a and v + (v_first - v) s may cancel: absolute, as the operands are of size 5 at
        // most.
        for (int i = 0; i < 5; ++i) {
          expect_near(got[i], expected[i], 10 * tolerance(N), tolerance(N),
                      concat("N ", N, ", M ", M, ", output ", i));
        }
      }
    }
  }
}

// Far out, sigmoid and decay must keep their relative accuracy and their limits.
TEST_P(Wkv7AroundTest, DecayStaysInItsRange) {
  const auto& table = select(GetParam());
  InputsProblem problem(1, 1, 64);
  const std::vector<float> x = {-1e30f, -200, -100, -88, -50, -20, -5, -1, 0, 1, 5, 20, 88, 100, 200, 1e30f};
  for (Index n = 0; n < 64; ++n) problem.w0[n] = 0, problem.w[n] = x[n % 16];
  const auto w = problem.run(table, true, 1)[0];
  for (Index n = 0; n < 64; ++n) {
    const double expected = std::exp(-std::exp(-0.5) / (1 + std::exp(-double{x[n % 16]})));
    EXPECT_NEAR(w[n], expected, 4 * kRoundoff) << "at " << x[n % 16];
    EXPECT_LE(w[n], 1.0f);
    EXPECT_GE(w[n], 0.54523f);
  }
  EXPECT_EQ(w[0], 1.0f);
}

// A zero key has no direction: the removal key is 0, not NaN.
TEST_P(Wkv7AroundTest, AZeroKeyIsRemovedNowhere) {
  const auto& table = select(GetParam());
  InputsProblem problem(2, 1, 64);
  std::fill_n(problem.k.begin(), 64, 0.0f);
  const auto got = problem.run(table, true, 1);
  for (Index n = 0; n < 64; ++n) {
    EXPECT_EQ(got[3][n], 0.0f);
    EXPECT_EQ(got[4][n], 0.0f);
  }
  for (const auto& output : got) {
    for (const float value : output) EXPECT_FALSE(std::isnan(value));
  }
}

TEST_P(Wkv7AroundTest, InputsByHand) {
  const auto& table = select(GetParam());
  InputsProblem problem(1, 1, 2);
  problem.w = {0, 0}, problem.w0 = {0, 0}, problem.a = {1, -1}, problem.a0 = {-1, 1};  // both sigmoids at 1/2
  problem.k = {3, 2}, problem.k_k = {1, 2}, problem.k_a = {1, 0};
  problem.v = {1, 1}, problem.v_first = {3, 1}, problem.v_mix = {0, 5}, problem.v0 = {0, 0};
  const auto got = problem.run(table, false, 1);
  const float decay = static_cast<float>(std::exp(-0.5 * std::exp(-0.5)));
  expect_near(got[0], {decay, decay}, 0, 4 * kRoundoff, "w");
  expect_near(got[1], {1.5f, 2}, 0, 4 * kRoundoff, "k");
  expect_near(got[2], {2, 1}, 0, 4 * kRoundoff, "v");
  expect_near(got[3], {-0.6f, -0.8f}, 0, 4 * kRoundoff, "a");
  expect_near(got[4], {0.3f, 0.4f}, 0, 4 * kRoundoff, "b");
}

TEST_P(Wkv7AroundTest, NanInOneHeadStaysThere) {
  const auto& table = select(GetParam());
  InputsProblem problem(2, 2, 64);
  const auto clean = problem.run(table, false, 1);
  problem.k[64 + 3] = kNaN, problem.w[64 + 4] = kNaN;  // row 0, head 1
  const auto got = problem.run(table, false, 1);
  EXPECT_TRUE(std::isnan(got[0][64 + 4]));
  EXPECT_TRUE(std::isnan(got[1][64 + 3]));
  for (Index n = 64; n < 128; ++n) EXPECT_TRUE(std::isnan(got[3][n]) && std::isnan(got[4][n])) << n;
  for (int i = 0; i < 5; ++i) {
    for (Index n = 0; n < 256; ++n) {
      if (n / 64 != 1) {
        EXPECT_EQ(got[i][n], clean[i][n]);
      }
    }
  }
}

struct ReadoutProblem {
  Index M, H, N;
  std::vector<float> y, r, k, v, g, r_k, weight, bias;

  ReadoutProblem(Index rows, Index heads, Index head_size) : M(rows), H(heads), N(head_size) {
    Random random(static_cast<unsigned>(M * 3 + N));
    const Index size = M * H * N, D = H * N;
    y = random.normals(size), r = random.normals(size), k = random.normals(size), v = random.normals(size),
    g = random.normals(size);
    r_k = random.normals(D, 0.1f), weight = random.normals(D), bias = random.normals(D);
  }

  std::vector<float> run(const KernelTable& table, DType type, int threads) const {
    Threads pool(threads);
    Output out(M * H * N, type);
    table.wkv7_readout({M, H, N, y.data(), r.data(), k.data(), v.data(), g.data(), r_k.data(), weight.data(),
                        bias.data(), 64e-5f, out.data(), type},
                       pool);
    return out.values();
  }
};

TEST_P(Wkv7AroundTest, ReadoutAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index N : {2, 8, 20, 32, 64, 128}) {
    for (const Index M : {0, 1, 17, 65}) {
      const ReadoutProblem problem(M, 3, N);
      const auto expected = problem.run(oracle(), DType::f32, 1);
      double most = 1;
      for (const float value : expected) most = std::max(most, std::abs(double{value}));
      for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
        // Group norm and the bonus are sums of N terms, of about the size of the largest output.
        expect_near(problem.run(table, type, 3), expected, static_cast<double>(N + 8) * kRoundoff * most,
                    rounding_of(type), concat("N ", N, ", M ", M, ", ", name_of(type)));
      }
    }
  }
}

TEST_P(Wkv7AroundTest, ReadoutByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const std::vector<float> y = {1, 3}, r = {2, 1}, k = {1, 3}, v = {1, 10}, g = {2, 1}, r_k = {1, 1},
                           weight = {1, 2}, bias = {0, 1};
  std::vector<float> out(2, kNaN);
  table.wkv7_readout({1, 1, 2, y.data(), r.data(), k.data(), v.data(), g.data(), r_k.data(), weight.data(),
                      bias.data(), 0.0f, out.data(), DType::f32},
                     pool);
  EXPECT_EQ(out, (std::vector<float>{(-1 + 5) * 2, 3 + 50}));  // GN = [-1, 1], bonus weight 5
}

// Rows are split over threads, and cut into blocks: a row's bits must not notice.
TEST_P(Wkv7AroundTest, RowsDependOnNothingButThemselves) {
  const auto& table = select(GetParam());
  const InputsProblem inputs(67, 2, 64);
  const ReadoutProblem readout(67, 2, 64);
  const auto expected = inputs.run(table, false, 1);
  for (const int threads : {2, 3, 4}) {
    EXPECT_EQ(inputs.run(table, false, threads), expected);
    EXPECT_TRUE(same_bits(readout.run(table, DType::bf16, threads), readout.run(table, DType::bf16, 1)));
  }
  InputsProblem one = inputs;
  one.M = 1;
  const auto alone = one.run(table, false, 1);
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(std::memcmp(alone[i].data(), expected[i].data(), 128 * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, Wkv7AroundTest, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
