// LayerNorm, embedding and token shift: right against the reference, each row by itself, segments kept apart.
#include "kernels/norm.h"

#include "support.h"

namespace riverrun::kernels {
namespace {

class NormTest : public testing::TestWithParam<Variant> {};

constexpr float kEps = 1e-5f;

// Mean and variance are sums of D terms in fp32; the rest is a handful of roundings. |n| stays below 10 here.
double tolerance(Index D) { return (16.0 + static_cast<double>(D) / 8) * 10 * kRoundoff; }

struct ShiftProblem {
  Index M, D, mixes;
  std::vector<Segment> segments;
  std::vector<std::vector<float>> rows_in;  // empty: null
  std::vector<float> x, weight, bias, mu;

  ShiftProblem(std::vector<Segment> parts, Index width, Index count)
      : M(parts.empty() ? 0 : parts.back().end), D(width), mixes(count), segments(std::move(parts)) {
    Random random(static_cast<unsigned>(M + D));
    x = random.normals(M * D, 3), weight = random.normals(D), bias = random.normals(D),
    mu = random.normals(mixes * D, 0.5f);
    for (std::size_t s = 0; s < segments.size(); ++s)
      rows_in.push_back(s % 2 == 0 ? random.normals(D) : std::vector<float>());
  }

  struct Result {
    std::vector<std::vector<float>> out, rows_out;
  };
  Result run(const KernelTable& table, DType type, int threads) const {
    Threads pool(threads);
    std::vector<std::unique_ptr<Output>> out, rows_out;
    std::vector<void*> out_pointers;
    std::vector<const float*> in_pointers, mu_pointers;
    std::vector<float*> rows_pointers;
    for (Index q = 0; q < mixes; ++q) {
      out.push_back(std::make_unique<Output>(M * D, type));
      out_pointers.push_back(out.back()->data()), mu_pointers.push_back(mu.data() + q * D);
    }
    for (const auto& row : rows_in) {
      rows_out.push_back(std::make_unique<Output>(D, DType::f32));
      in_pointers.push_back(row.empty() ? nullptr : row.data()),
          rows_pointers.push_back(rows_out.back()->f32());
    }
    table.shift_mix({M, D, x.data(), weight.data(), bias.data(), kEps, static_cast<Index>(segments.size()),
                     segments.data(), in_pointers.data(), rows_pointers.data(), mixes, mu_pointers.data(),
                     out_pointers.data(), type},
                    pool);
    Result result;
    for (const auto& output : out) result.out.push_back(output->values());
    for (const auto& row : rows_out) result.rows_out.push_back(row->values());
    return result;
  }
};

TEST_P(NormTest, LayerNormAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const Index D : {1, 2, 8, 20, 64, 100, 768, 1000}) {
    for (const Index M : {0, 1, 15, 16, 17, 65}) {
      Random random(static_cast<unsigned>(D + M));
      const auto x = random.normals(M * D, 5), weight = random.normals(D), bias = random.normals(D);
      const auto run = [&](const KernelTable& of, DType type, int threads) {
        Threads pool(threads);
        Output y(M * D, type);
        of.layer_norm({M, D, x.data(), weight.data(), bias.data(), kEps, y.data(), type}, pool);
        return y.values();
      };
      const auto expected = run(oracle(), DType::f32, 1);
      for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
        expect_near(run(table, type, 3), expected, tolerance(D), rounding_of(type),
                    concat("D ", D, ", M ", M, ", ", name_of(type)));
        EXPECT_TRUE(same_bits(run(table, type, 1), run(table, type, 4)));
      }
    }
  }
}

TEST_P(NormTest, LayerNormByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const std::vector<float> x = {1, 3, -2, -2}, weight = {2, 1}, bias = {0.5f, 0};
  std::vector<float> y(4, kNaN);
  table.layer_norm({2, 2, x.data(), weight.data(), bias.data(), 0.0f, y.data(), DType::f32}, pool);
  EXPECT_EQ(y[0], -1.5f);
  EXPECT_EQ(y[1], 1.0f);
  EXPECT_TRUE(std::isnan(y[2]));  // 0 / 0: only eps keeps a constant row finite
  table.layer_norm({2, 2, x.data(), weight.data(), bias.data(), kEps, y.data(), DType::f32}, pool);
  EXPECT_EQ(y[2], 0.5f);
  EXPECT_EQ(y[3], 0.0f);
}

// The mean is taken out before the squares are summed: a large offset costs no accuracy but that of x itself.
TEST_P(NormTest, LayerNormKeepsAccuracyFarFromZero) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const Index D = 768;
  std::vector<float> x(D), weight(D, 1), bias(D, 0), y(D), expected(D);
  for (Index d = 0; d < D; ++d) x[d] = 4096 + static_cast<float>(d % 16);  // exact in fp32
  for (const auto& [of, to] : {std::pair{&table, &y}, std::pair{&oracle(), &expected}}) {
    of->layer_norm({1, D, x.data(), weight.data(), bias.data(), kEps, to->data(), DType::f32}, pool);
  }
  expect_near(y, expected, 1e-3, 0,
              "offset 4096");  // the mean is known to 4096 * 2^-24 * a few, of a deviation of 4.6
}

TEST_P(NormTest, RoundsToNearestEvenAndKeepsNan) {
  const auto& table = select(GetParam());
  Threads pool(1);
  // weight 0: y is the bias, rounded.
  const std::vector<float> values = {1 + 0x1p-8f,  1 + 3 * 0x1p-8f,
                                     -1 - 0x1p-8f, 1 + 0x1p-8f + 0x1p-20f,
                                     0x1p-127f,    3.4e38f,
                                     -0.0f,        65504.0f,
                                     kNaN,         std::numeric_limits<float>::infinity(),
                                     1e-40f,       2.5f,
                                     0.1f,         1e5f,
                                     -7,           6e-8f};
  const Index D = static_cast<Index>(values.size());
  const std::vector<float> x = Random(1).normals(D), zero(D, 0.0f);
  for (const DType type : {DType::bf16, DType::f16}) {
    Output y(D, type), expected(values, type);
    table.layer_norm({1, D, x.data(), zero.data(), values.data(), kEps, y.data(), type}, pool);
    for (Index d = 0; d < D; ++d) {
      if (std::isnan(values[d])) {
        EXPECT_TRUE(std::isnan(y[d])) << name_of(type);
      } else {
        EXPECT_EQ(y[d], expected[d]) << values[d] << " as " << name_of(type);
      }
    }
  }
}

TEST_P(NormTest, EmbedAgreesWithTheReference) {
  const auto& table = select(GetParam());
  const Index V = 50, M = 33;
  for (const Index D : {8, 20, 64}) {
    Random random(9);
    const auto values = random.normals(V * D), weight = random.normals(D), bias = random.normals(D);
    std::vector<TokenId> ids(M);
    for (auto& id : ids) id = static_cast<TokenId>(random.below(V));
    ids[0] = 0, ids[1] = static_cast<TokenId>(V - 1);
    for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
      Output rows(values, type);
      const auto run = [&](const KernelTable& of, int threads) {
        Threads pool(threads);
        Output x(M * D, DType::f32);
        of.embed({M, D, V, ids.data(), rows.data(), type, weight.data(), bias.data(), kEps, x.f32()}, pool);
        return x.values();
      };
      expect_near(run(table, 2), run(oracle(), 1), tolerance(D), 0, concat("D ", D, ", ", name_of(type)));
      EXPECT_TRUE(same_bits(run(table, 1), run(table, 3)));
    }
  }
  Threads pool(1);
  const TokenId outside = 50;
  const std::vector<float> ones(static_cast<std::size_t>(V), 1.0f);
  const float one[1] = {1};
  float x;
  if (of_cuda(GetParam())) {  // a GPU throws nothing: it keeps to the table and spoils the row
    table.embed({1, 1, V, &outside, ones.data(), DType::f32, one, one, kEps, &x}, pool);
    EXPECT_TRUE(std::isnan(x));
  } else {
    EXPECT_THROW(table.embed({1, 1, V, &outside, ones.data(), DType::f32, one, one, kEps, &x}, pool), Error);
  }
}

// Without a norm, a row of the table as it is.
TEST_P(NormTest, EmbedWithoutANormCopies) {
  const auto& table = select(GetParam());
  const std::vector<TokenId> ids = {2, 0, 2, 1};
  for (const Index D : {1, 3, 20, 64}) {
    auto values = Random(3).normals(3 * D);
    values[D] = kNaN;
    for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
      Threads pool(2);
      Output rows(values, type), x(4 * D, DType::f32);
      table.embed({4, D, 3, ids.data(), rows.data(), type, nullptr, nullptr, kEps, x.f32()}, pool);
      std::vector<float> expected;
      for (const TokenId id : ids) {
        for (Index d = 0; d < D; ++d) expected.push_back(rows[id * D + d]);
      }
      auto found = x.values();
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (std::isnan(found[i]) && std::isnan(expected[i])) found[i] = expected[i];  // whichever NaN
      }
      EXPECT_TRUE(same_bits(found, expected)) << "D " << D << ", " << name_of(type);
    }
  }
}

const std::vector<std::vector<Segment>> kCuts = {{},
                                                 {{0, 0}},
                                                 {{0, 1}},
                                                 {{0, 65}},
                                                 {{0, 17}, {17, 18}, {18, 18}, {18, 64}},
                                                 {{0, 0}, {0, 0}, {0, 40}, {40, 41}, {41, 41}},
                                                 {{0, 1},
                                                  {1, 2},
                                                  {2, 3},
                                                  {3, 4},
                                                  {4, 5},
                                                  {5, 6},
                                                  {6, 7},
                                                  {7, 8},
                                                  {8, 9},
                                                  {9, 10},
                                                  {10, 11},
                                                  {11, 12},
                                                  {12, 13},
                                                  {13, 14}}};

TEST_P(NormTest, ShiftMixAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const auto& cuts : kCuts) {
    for (const Index D : {8, 20, 64, 768}) {
      for (const Index mixes : {0, 1, 6}) {
        const ShiftProblem problem(cuts, D, mixes);
        const auto expected = problem.run(oracle(), DType::f32, 1);
        for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
          const auto got = problem.run(table, type, 3), alone = problem.run(table, type, 1);
          const auto what = concat(cuts.size(), " segments, D ", D, ", ", name_of(type));
          // The lerp adds up to (1 + 2 |mu|) times the error of n; |mu| < 3.
          for (Index q = 0; q < mixes; ++q) {
            expect_near(got.out[q], expected.out[q], 7 * tolerance(D), rounding_of(type), what);
            EXPECT_TRUE(same_bits(got.out[q], alone.out[q])) << what;
          }
          for (std::size_t s = 0; s < cuts.size(); ++s) {
            expect_near(got.rows_out[s], expected.rows_out[s], tolerance(D), 0, what);
            EXPECT_TRUE(same_bits(got.rows_out[s], alone.rows_out[s])) << what;
          }
        }
      }
    }
  }
}

// As many rows as blocks of documents have.
TEST_P(NormTest, ShiftMixOfManyRowsAgreesWithTheReference) {
  const ShiftProblem problem({{0, 3}, {3, 2077}, {2077, 2077}, {2077, 2100}}, 96, 2);
  const auto got = problem.run(select(GetParam()), DType::f32, 3), expected = problem.run(oracle(), DType::f32, 1);
  for (Index q = 0; q < 2; ++q) expect_near(got.out[q], expected.out[q], 7 * tolerance(96), 0, concat("mix ", q));
  for (std::size_t s = 0; s < 4; ++s) expect_near(got.rows_out[s], expected.rows_out[s], tolerance(96), 0, concat("segment ", s));
}

// A document cut anywhere, the row handed over in place, gives the bits of the whole.
TEST_P(NormTest, ShiftMixAcrossACutChangesNoBit) {
  const auto& table = select(GetParam());
  const Index M = 50, D = 96;
  ShiftProblem whole({{0, M}}, D, 2);
  const auto expected = whole.run(table, DType::bf16, 1);
  for (const Index cut : {0, 1, 15, 16, 49, 50}) {
    for (const int threads : {1, 4}) {
      Threads pool(threads);
      std::vector<float> carried = whole.rows_in[0];
      Output first(M * D, DType::bf16), second(M * D, DType::bf16);
      const float* mu[2] = {whole.mu.data(), whole.mu.data() + D};
      for (const Segment part : {Segment{0, cut}, Segment{cut, M}}) {
        const Index rows = part.end - part.begin, at = part.begin * D;
        const Segment all = {0, rows};
        float* row = carried.data();
        void* out[2] = {static_cast<std::uint16_t*>(first.data()) + at,
                        static_cast<std::uint16_t*>(second.data()) + at};
        table.shift_mix({rows, D, whole.x.data() + at, whole.weight.data(), whole.bias.data(), kEps, 1, &all,
                         &row, &row, 2, mu, out, DType::bf16},
                        pool);
      }
      EXPECT_TRUE(same_bits(first.values(), expected.out[0])) << "cut at " << cut;
      EXPECT_TRUE(same_bits(second.values(), expected.out[1])) << "cut at " << cut;
      EXPECT_TRUE(same_bits(carried, expected.rows_out[0])) << "cut at " << cut;
    }
  }
}

TEST_P(NormTest, ShiftMixWithoutRowsToHandOver) {
  const auto& table = select(GetParam());
  Threads pool(2);
  const ShiftProblem problem({{0, 20}}, 64, 1);
  const auto expected = problem.run(table, DType::f32, 1);
  Output out(20 * 64, DType::f32);
  const float* in = problem.rows_in[0].data();
  float* nowhere = nullptr;
  const float* mu = problem.mu.data();
  void* to = out.data();
  table.shift_mix({20, 64, problem.x.data(), problem.weight.data(), problem.bias.data(), kEps, 1,
                   problem.segments.data(), &in, &nowhere, 1, &mu, &to, DType::f32},
                  pool);
  EXPECT_TRUE(same_bits(out.values(), expected.out[0]));
}

// A NaN in one token's row reaches that row and the next one (by the shift), no further, and no other
// segment.
TEST_P(NormTest, NanReachesTheNextRowOnly) {
  const auto& table = select(GetParam());
  ShiftProblem problem({{0, 10}, {10, 20}}, 64, 1);
  problem.x[4 * 64 + 1] = kNaN, problem.x[9 * 64] = kNaN;
  const auto result = problem.run(table, DType::f32, 2);
  for (Index m = 0; m < 20; ++m)
    EXPECT_EQ(std::isnan(result.out[0][m * 64 + 7]), m == 4 || m == 5 || m == 9) << "row " << m;
  EXPECT_TRUE(std::isnan(result.rows_out[0][0]));
  EXPECT_FALSE(std::isnan(result.rows_out[1][0]));
}

INSTANTIATE_TEST_SUITE_P(Backends, NormTest, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
