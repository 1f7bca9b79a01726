// What stands before and behind the WKV-6 recurrence: decay factors, group norm and gate.
#include "support.h"

namespace riverrun::kernels {
namespace {

class Wkv6AroundTest : public testing::TestWithParam<Variant> {};

std::vector<float> run_decay(const KernelTable& table, Index M, const std::vector<float>& w,
                             const std::vector<float>& w0, int threads) {
  Threads pool(threads);
  Output out(w, DType::f32);
  table.wkv6_decay({M, static_cast<Index>(w0.size()), out.f32(), w0.data()}, pool);
  return out.values();
}

// x = w0 + w and exp(x) are each good to about an ulp; the outer exponential multiplies the error of exp(x)
// by exp(x), and w exp(x) is at most 1/e: absolute errors stay at a few roundings, even at w = 1.
TEST_P(Wkv6AroundTest, DecayAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index D : {1, 4, 20, 24, 64, 768}) {
    for (const Index M : {0, 1, 2, 65, 700}) {
      Random random(static_cast<unsigned>(M + D));
      const auto w = random.normals(M * D, 2), w0 = random.normals(D, 3);
      expect_near(run_decay(table, M, w, w0, 3), run_decay(oracle(), M, w, w0, 1), 4 * kRoundoff, 0,
                  concat("D ", D, ", M ", M));
    }
  }
}

// The whole range of x: w has its limits 1 and 0 without a NaN on the way, small factors keep their relative
// accuracy as far as exp(x) times the rounding of exp(x) lets them, and 1 - w is right to a rounding of 1; by CUDA's expf, which
// may give the neighbour of the nearest number (1 ulp from the correctly rounded result), to half a rounding more.
TEST_P(Wkv6AroundTest, DecayReachesItsLimits) {
  const auto& table = select(GetParam());
  std::vector<float> x = {
      -std::numeric_limits<float>::infinity(), -1e30f, -200, -104, -88, 88, 104, 200, 1e30f,
      std::numeric_limits<float>::infinity()};
  for (float at = -20; at < 6; at += 0.01f) x.push_back(at);
  const auto w = run_decay(table, 1, x, std::vector<float>(x.size(), 0.0f), 1);
  const double roundings = of_cuda(GetParam()) ? 1.5 : 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double rate = std::exp(double{x[i]}), expected = std::exp(-rate);
    EXPECT_LE(w[i], 1.0f);
    EXPECT_GE(w[i], 0.0f);
    ASSERT_NEAR(w[i], expected, (4 + 4 * std::min(rate, 110.0)) * kRoundoff * expected + roundings * 0x1p-149)  // the last subnormal
        << "at " << x[i];
    if (rate < 1e-3) {
      ASSERT_NEAR(w[i], expected, 1.01 * roundings * kRoundoff) << "at " << x[i];
    }
  }
  EXPECT_EQ(w[0], 1.0f);
  EXPECT_EQ(w[9], 0.0f);
}

TEST_P(Wkv6AroundTest, DecayByHand) {
  const auto& table = select(GetParam());
  // exp(-exp(0)) = 1/e; exp(-exp(ln 2)) = 1/e^2
  const float ln2 = static_cast<float>(std::log(2.0));
  expect_near(run_decay(table, 2, {1, -1 + ln2, 1 + ln2, -1}, {-1, 1}, 1),
              {0.36787944f, 0.13533528f, 0.13533528f, 0.36787944f}, 4 * kRoundoff, 0, "w");
}

TEST_P(Wkv6AroundTest, NanInADecayStaysThere) {
  const auto& table = select(GetParam());
  for (const Index D : {3, 64}) {
    std::vector<float> w = Random(1).normals(2 * D);
    const std::vector<float> w0 = Random(2).normals(D);
    const auto clean = run_decay(table, 2, w, w0, 1);
    w[D + 2] = kNaN;
    const auto got = run_decay(table, 2, w, w0, 1);
    for (Index i = 0; i < 2 * D; ++i) {
      if (i == D + 2) {
        EXPECT_TRUE(std::isnan(got[i]));
      } else {
        EXPECT_EQ(got[i], clean[i]);
      }
    }
  }
}

struct ReadoutProblem {
  Index M, H, N;
  std::vector<float> y, g, weight, bias;

  ReadoutProblem(Index rows, Index heads, Index head_size) : M(rows), H(heads), N(head_size) {
    Random random(static_cast<unsigned>(M * 3 + N));
    const Index size = M * H * N, D = H * N;
    y = random.normals(size), g = random.normals(size);
    weight = random.normals(D), bias = random.normals(D);
  }

  std::vector<float> run(const KernelTable& table, DType type, bool gated, int threads) const {
    Threads pool(threads);
    Output out(M * H * N, type);
    table.wkv6_readout(
        {M, H, N, y.data(), gated ? g.data() : nullptr, weight.data(), bias.data(), 64e-5f, out.data(), type},
        pool);
    return out.values();
  }
};

TEST_P(Wkv6AroundTest, ReadoutAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index N : {1, 2, 4, 8, 20, 32, 48, 64, 96, 128}) {
    for (const Index M : {0, 1, 2, 17, 65}) {
      const ReadoutProblem problem(M, 3, N);
      for (const bool gated : {true, false}) {
        const auto expected = problem.run(oracle(), DType::f32, gated, 1);
        double most = 1;
        for (const float value : expected) most = std::max(most, std::abs(double{value}));
        for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
          // Group norm is a sum of N terms, of about the size of the largest output.
          expect_near(problem.run(table, type, gated, 3), expected,
                      static_cast<double>(N + 8) * kRoundoff * most, rounding_of(type),
                      concat("N ", N, ", M ", M, ", ", name_of(type), gated ? ", gated" : ""));
        }
      }
    }
  }
}

TEST_P(Wkv6AroundTest, ReadoutByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const std::vector<float> y = {1, 3}, g = {2, 0.5f}, weight = {1, 2}, bias = {0, 1};
  std::vector<float> out(2, kNaN);
  Wkv6ReadoutArgs args = {1,           1,    2,          y.data(),  g.data(), weight.data(),
                          bias.data(), 0.0f, out.data(), DType::f32};
  table.wkv6_readout(args, pool);
  EXPECT_EQ(out, (std::vector<float>{-2, 1.5f}));  // GN = [-1, 1] * weight + bias = [-1, 3]
  args.g = nullptr;
  table.wkv6_readout(args, pool);
  EXPECT_EQ(out, (std::vector<float>{-1, 3}));
}

TEST_P(Wkv6AroundTest, NanInOneHeadStaysThere) {
  const auto& table = select(GetParam());
  ReadoutProblem problem(2, 2, 64);
  const auto clean = problem.run(table, DType::f32, true, 1);
  problem.y[64 + 3] = kNaN;  // row 0, head 1
  const auto got = problem.run(table, DType::f32, true, 1);
  for (Index i = 0; i < 256; ++i) {
    if (i / 64 == 1) {
      EXPECT_TRUE(std::isnan(got[i])) << i;
    } else {
      EXPECT_EQ(got[i], clean[i]) << i;
    }
  }
}

// Rows are split over threads, and cut into blocks: a row's bits must not notice.
TEST_P(Wkv6AroundTest, RowsDependOnNothingButThemselves) {
  const auto& table = select(GetParam());
  const Index M = 67, D = 128;
  const ReadoutProblem readout(M, 2, 64);
  const auto w = Random(3).normals(M * D), w0 = Random(4).normals(D);
  const auto decays = run_decay(table, M, w, w0, 1), out = readout.run(table, DType::bf16, true, 1);
  for (const int threads : {2, 3, 4}) {
    EXPECT_TRUE(same_bits(run_decay(table, M, w, w0, threads), decays));
    EXPECT_TRUE(same_bits(readout.run(table, DType::bf16, true, threads), out));
  }
  const Index at = 41;  // a row alone
  const auto row = [&](const std::vector<float>& all) {
    return std::vector<float>(all.begin() + at * D, all.begin() + (at + 1) * D);
  };
  ReadoutProblem one = readout;
  one.M = 1, one.y = row(readout.y), one.g = row(readout.g);
  EXPECT_TRUE(same_bits(run_decay(table, 1, row(w), w0, 1), row(decays)));
  EXPECT_TRUE(same_bits(one.run(table, DType::bf16, true, 1), row(out)));
}

INSTANTIATE_TEST_SUITE_P(Backends, Wkv6AroundTest, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
