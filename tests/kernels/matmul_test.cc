// Matrix products against the reference: every epilogue, type, stride and awkward shape.
#include "support.h"

namespace riverrun::kernels {
namespace {

constexpr Epilogue kEpilogues[] = {Epilogue::none,    Epilogue::add,          Epilogue::tanh,
                                   Epilogue::sigmoid, Epilogue::relu_squared, Epilogue::silu};

struct Problem {
  Index M, N, K;
  DType type;
  Phase phase;
  std::vector<float> x, w;

  Problem(Index rows, Index n, Index k, DType operand, Phase in = Phase::prefill) : M(rows), N(n), K(k), type(operand), phase(in) {
    Random random(static_cast<unsigned>(M * 7919 + N * 31 + K));
    x = random.normals(M * K);
    w = random.normals(N * K, 1.0f / std::sqrt(static_cast<float>(K)));
  }

  std::unique_ptr<PackedMatrix> pack(const KernelTable& table, Stream stream) const {
    return table.pack_matrix({w.data(), DType::f32, N, K, K, 1}, type, stream);
  }

  // x_stride 0: dense; else NaN between the rows.
  std::vector<float> run(const KernelTable& table, DType y_type, Epilogue epilogue, int threads,
                         Index x_stride = 0) const {
    Threads pool(threads);
    const auto packed = pack(table, pool);
    const Index stride = x_stride == 0 ? K : x_stride;
    Output operand(M == 0 ? 0 : (M - 1) * stride + K, type), y(M * N, y_type);
    for (Index i = 0; i < M * K; ++i) store_float(operand.data(), type, i / K * stride + i % K, x[i]);
    if (epilogue == Epilogue::add) std::fill_n(y.f32(), M * N, 0.25f);
    multiply(table, {M, operand.data(), packed.get(), y.data(), y_type, epilogue, x_stride, phase}, pool);
    return y.values();
  }

  // The worst case of K roundings of a sum in fp32: K * 2^-24 * sum |x w|, over all elements.
  double bound() const {
    double most = 0;
    for (Index m = 0; m < M; ++m) {
      for (Index n = 0; n < N; ++n) {
        double sum = 0;
        for (Index k = 0; k < K; ++k) sum += std::abs(double{x[m * K + k]} * w[n * K + k]);
        most = std::max(most, sum);
      }
    }
    return static_cast<double>(K + 2) * kRoundoff * most;
  }
};

class MatmulTest : public testing::TestWithParam<Variant> {};

// max(0, p)^2 is as steep as 2 p, |p| <= 6 here; silu is no steeper than 1.1, the others than 1. tanh,
// sigmoid and silu are good to 1e-6.
void compare(const KernelTable& table, const Problem& problem, int threads) {
  const double bound = problem.bound();
  for (const auto epilogue : kEpilogues) {
    for (const DType y_type : {DType::f32, problem.type}) {
      if (epilogue == Epilogue::add && y_type != DType::f32) continue;
      const double slope = epilogue == Epilogue::relu_squared ? 12 : epilogue == Epilogue::silu ? 1.1 : 1;
      const double absolute = slope * bound + 1e-6;
      expect_near(problem.run(table, y_type, epilogue, threads),
                  problem.run(oracle(), DType::f32, epilogue, 1), absolute, rounding_of(y_type) + 1e-6,
                  concat("M ", problem.M, " N ", problem.N, " K ", problem.K, " epilogue ",
                         static_cast<int>(epilogue), " ", name_of(problem.type), " to ", name_of(y_type)));
    }
  }
}

TEST_P(MatmulTest, AgreesWithTheReferenceForEveryHeight) {
  const auto& table = select(GetParam());
  for (const DType type : {DType::f32, DType::bf16}) {
    if (!table.multiplies(type)) continue;
    for (const Index M : {0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 200})
      compare(table, Problem(M, 96, 64, type), 3);
  }
}

TEST_P(MatmulTest, AgreesWithTheReferenceForEveryWidth) {
  const auto& table = select(GetParam());
  for (const DType type : {DType::f32, DType::bf16}) {
    if (!table.multiplies(type)) continue;
    for (const Index N : {1, 31, 32, 64, 65, 127, 192, 1100}) {
      for (const Index K : {1, 2, 7, 32, 33, 130}) {
        if (!of_cuda(GetParam()) || N < 1000 || K == 33) compare(table, Problem(5, N, K, type), 2);
      }
    }
    compare(table, Problem(70, 1100, 33, type), 2);  // several slabs with a rest, several panels with a rest
    compare(table, Problem(5, 96, 3072, type), 2);
  }
}

// Backends may have other products for writing texts.
TEST_P(MatmulTest, DecodeAgreesWithTheReference) {
  const auto& table = select(GetParam());
  for (const DType type : {DType::f32, DType::bf16}) {
    if (!table.multiplies(type)) continue;
    for (const Index M : {0, 1, 2, 3, 16, 17, 33, 70}) compare(table, Problem(M, 96, 65, type, Phase::decode), 3);
    for (const auto& [N, K] : {std::pair<Index, Index>{1, 1}, {17, 5}, {31, 8}, {65, 9}, {300, 130}, {1100, 33}}) {
      for (const Index M : {1, 2, 5}) compare(table, Problem(M, N, K, type, Phase::decode), 2);
    }
    if (!of_cuda(GetParam())) compare(table, Problem(18, 1300, 33, type, Phase::decode), 2);  // several slabs and panels, with rests
  }
}

TEST_P(MatmulTest, DecodeRowsHaveTheSameBitsForAnyHeightThreadsAndStride) {
  const auto& table = select(GetParam());
  for (const DType type : {DType::f32, DType::bf16}) {
    if (!table.multiplies(type)) continue;
    for (const auto& [N, K] : {std::pair<Index, Index>{96, 32}, {1300, 33}, {65, 9}}) {
      if (of_cuda(GetParam()) && N > 1000) continue;
      const Problem all(70, N, K, type, Phase::decode);
      const auto expected = all.run(table, DType::f32, Epilogue::silu, 1);
      for (const auto& [M, threads, stride] : {std::tuple<Index, int, Index>{1, 1, 0}, {1, 3, K + 1}, {2, 1, 0}, {3, 2, 5 * K}, {17, 3, 0}, {70, 3, K + 1}}) {
        Problem some = all;
        some.M = M;
        const auto rows = some.run(table, DType::f32, Epilogue::silu, threads, stride);
        EXPECT_TRUE(same_bits(rows, {expected.begin(), expected.begin() + M * N})) << M << " rows, " << threads << " threads, stride " << stride;
      }
    }
  }
}

// Columns of a wider matrix are multiplied where they are: the bits of a dense copy, and nothing between them
// is read into a product.
TEST_P(MatmulTest, RowsApartHaveTheBitsOfDenseRows) {
  const auto& table = select(GetParam());
  for (const DType type : {DType::f32, DType::bf16}) {
    if (!table.multiplies(type)) continue;
    for (const Index M : {0, 1, 2, 16, 64, 70, 150}) {
      for (const auto& [N, K] : {std::pair<Index, Index>{96, 32}, {1100, 33}, {1, 7}}) {
        if (on_gpu(GetParam()) && N == 96) continue;  // cuBLAS takes only rows at aligned addresses, and has other ways for other distances
        const Problem problem(M, N, K, type);
        for (const auto epilogue : kEpilogues) {
          if (of_cuda(GetParam()) && (epilogue != Epilogue::add || M > 70)) continue;
          const auto dense = problem.run(table, DType::f32, epilogue, 1);
          for (const Index stride : {K, K + 1, 5 * K}) {
            EXPECT_TRUE(same_bits(problem.run(table, DType::f32, epilogue, 3, stride), dense))
                << M << " rows of " << K << ", " << stride << " apart, epilogue "
                << static_cast<int>(epilogue);
          }
        }
      }
    }
  }
}

TEST_P(MatmulTest, RefusesRowsThatOverlap) {
  const auto& table = select(GetParam());
  EXPECT_THROW(Problem(2, 3, 8, DType::f32).run(table, DType::f32, Epilogue::none, 1, 7), Error);
}

// x sigmoid(x) of its products, and close to zero without losing the small ones.
TEST_P(MatmulTest, SiluByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const float w = 1;
  const auto packed = table.pack_matrix({&w, DType::f32, 1, 1, 1, 1}, DType::f32, pool);
  const std::vector<float> x = {0, 1, -1, 20, -20, 1e-10f, -100};
  Output y(7, DType::f32);
  multiply(table, {7, x.data(), packed.get(), y.data(), DType::f32, Epilogue::silu}, pool);
  const std::vector<double> expected = {0, 0.73105857863, -0.26894142137, 20, -4.122307236e-8, 5e-11, 0};
  for (Index i = 0; i < 7; ++i) EXPECT_NEAR(y[i], expected[i], 1e-6 * std::abs(expected[i]) + 1e-30) << x[i];
}

TEST_P(MatmulTest, ThreeByTwoByHand) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const std::vector<float> w = {1, 2, 3, 4, 5, 6};  // [3, 2]
  const auto packed = table.pack_matrix({w.data(), DType::f32, 3, 2, 2, 1}, DType::f32, pool);
  EXPECT_EQ(packed->rows(), 3);
  EXPECT_EQ(packed->cols(), 2);
  EXPECT_EQ(packed->type(), DType::f32);
  EXPECT_GE(packed->bytes(), 24);
  const std::vector<float> x = {1, -1, 0.5f, 2};
  Output y(6, DType::f32);
  multiply(table, {2, x.data(), packed.get(), y.data(), DType::f32, Epilogue::none}, pool);
  EXPECT_EQ(y.values(), (std::vector<float>{-1, -1, -1, 4.5f, 9.5f, 14.5f}));
  multiply(table, {2, x.data(), packed.get(), y.data(), DType::f32, Epilogue::add}, pool);
  EXPECT_EQ(y.values(), (std::vector<float>{-2, -2, -2, 9, 19, 29}));
  multiply(table, {2, x.data(), packed.get(), y.data(), DType::f32, Epilogue::relu_squared}, pool);
  EXPECT_EQ(y.values(), (std::vector<float>{0, 0, 0, 20.25f, 90.25f, 210.25f}));
}

// Weights come in any type and with any strides; the product sees the same matrix.
TEST_P(MatmulTest, PacksEverySourceTypeAndStride) {
  const auto& table = select(GetParam());
  Threads pool(2);
  const Index N = 300, K = 70;
  Random random(3);
  const auto w = random.normals(N * K), x = random.normals(4 * K);
  for (const DType source : {DType::f32, DType::bf16, DType::f16}) {
    for (const DType operand : {DType::f32, DType::bf16}) {
      if (!table.multiplies(operand)) continue;
      Output plain(w, source), swapped(N * K, source), wide(N * (K + 3), source), rows(x, operand);
      for (Index n = 0; n < N; ++n) {
        for (Index k = 0; k < K; ++k) {
          store_float(swapped.data(), source, k * N + n, w[n * K + k]);
          store_float(wide.data(), source, n * (K + 3) + k, w[n * K + k]);
        }
      }
      const auto product = [&](const KernelTable& of, const void* data, Index row_stride, Index col_stride) {
        const auto packed = of.pack_matrix({data, source, N, K, row_stride, col_stride}, operand, pool);
        Output y(4 * N, DType::f32);
        multiply(of, {4, rows.data(), packed.get(), y.data(), DType::f32, Epilogue::none}, pool);
        return y.values();
      };
      const auto straight = product(table, plain.data(), K, 1);
      EXPECT_TRUE(same_bits(straight, product(table, swapped.data(), 1, N)));
      EXPECT_TRUE(same_bits(straight, product(table, wide.data(), K + 3, 1)));
      // sum |x w| stays below 2 K here.
      expect_near(straight, product(oracle(), plain.data(), K, 1), K * kRoundoff * 2 * K, 0,
                  concat(name_of(source), " to ", name_of(operand)));
    }
  }
}

// Weights of 16 bits are exact as fp32 operands: however a backend keeps them, a product has the bits it has with the same weights given as
// fp32, for few rows and many, and for more columns than are multiplied at once.
TEST_P(MatmulTest, WeightsOf16BitsHaveTheBitsOfTheSameFp32Weights) {
  const auto& table = select(GetParam());
  Threads pool(3);
  for (const auto& [N, K] : {std::pair<Index, Index>{1, 1}, {16, 8}, {17, 5}, {100, 33}, {300, 1030}, {65, 2100}}) {
    if (of_cuda(GetParam()) && K > 1000) continue;
    Random random(static_cast<unsigned>(N + K));
    for (const DType type : {DType::bf16, DType::f16}) {
      // With numbers too small for the digits that fp16 has.
      auto values = random.normals(N * K);
      for (std::size_t i = 0; i < values.size(); i += 3) values[i] *= 0x1p-20f;
      Output narrow(values, type);
      const auto wide = narrow.values();
      const auto from_narrow = table.pack_matrix({narrow.data(), type, N, K, K, 1}, DType::f32, pool);
      const auto from_wide = table.pack_matrix({wide.data(), DType::f32, N, K, K, 1}, DType::f32, pool);
      for (const Index M : {1, 2, 3, 5, 7, 17, 18, 40, 100, 200}) {
        if (of_cuda(GetParam()) && M > 20) continue;
        const auto x = random.normals(M * K);
        for (const Epilogue epilogue : {Epilogue::none, Epilogue::add, Epilogue::relu_squared}) {
          const auto product = [&](const PackedMatrix& w) {
            Output y(M * N, DType::f32);
            std::fill_n(y.f32(), M * N, 0.5f);
            multiply(table, {M, x.data(), &w, y.data(), DType::f32, epilogue}, pool);
            return y.values();
          };
          EXPECT_TRUE(same_bits(product(*from_narrow), product(*from_wide)))
              << M << " rows, " << N << " x " << K << " of " << name_of(type) << ", epilogue " << static_cast<int>(epilogue);
        }
      }
    }
  }
}

TEST_P(MatmulTest, RoundsWeightsToNearestEven) {
  const auto& table = select(GetParam());
  if (!table.multiplies(DType::bf16)) GTEST_SKIP() << "no bf16 products on this machine";
  Threads pool(1);
  const std::vector<float> w = {1 + 0x1p-8f, 1 + 3 * 0x1p-8f, 1 + 0x1p-8f + 0x1p-20f, -1 - 0x1p-8f};
  const auto packed = table.pack_matrix({w.data(), DType::f32, 4, 1, 1, 1}, DType::bf16, pool);
  const std::uint16_t one = float_to_bf16(1.0f);
  Output y(4, DType::f32);
  multiply(table, {1, &one, packed.get(), y.data(), DType::f32, Epilogue::none}, pool);
  EXPECT_EQ(y.values(), (std::vector<float>{1, 1 + 0x1p-6f, 1 + 0x1p-7f, -1}));
}

// A NaN or infinity in one row shows in that row, through every epilogue, and in no other.
TEST_P(MatmulTest, NanAndInfinityStayInTheirRow) {
  const auto& table = select(GetParam());
  for (const DType type : {DType::f32, DType::bf16}) {
    if (!table.multiplies(type)) continue;
    Problem clean(5, 70, 40, type), spoilt = clean;
    spoilt.x[2 * 40 + 7] = kNaN;
    spoilt.x[4 * 40] = std::numeric_limits<float>::infinity();
    for (const auto epilogue : kEpilogues) {
      const auto expected = clean.run(table, DType::f32, epilogue, 2),
                 got = spoilt.run(table, DType::f32, epilogue, 2);
      for (Index i = 0; i < 5 * 70; ++i) {
        const Index row = i / 70;
        if (row == 2) {
          EXPECT_TRUE(std::isnan(got[i])) << "epilogue " << static_cast<int>(epilogue);
        } else if (row != 4) {
          EXPECT_EQ(got[i], expected[i]);
        }
      }
      const auto expected_infinity = spoilt.run(oracle(), DType::f32, epilogue, 1);
      for (Index i = 4 * 70; i < 5 * 70; ++i) {
        // silu(-infinity) is -infinity times 0
        EXPECT_EQ(std::isnan(got[i]), std::isnan(expected_infinity[i]));
        if (!std::isnan(got[i])) {
          EXPECT_EQ(got[i], expected_infinity[i]);
        }
      }
    }
  }
}

TEST_P(MatmulTest, RefusesWhatItCannotMultiply) {
  const auto& table = select(GetParam());
  Threads pool(1);
  const float w = 1;
  EXPECT_TRUE(table.multiplies(DType::f32));
  for (const DType type : {DType::bf16, DType::f16}) {
    if (table.multiplies(type)) continue;
    EXPECT_FALSE(table.multiplies_fast(type));
    EXPECT_THROW(table.pack_matrix({&w, DType::f32, 1, 1, 1, 1}, type, pool), InputError) << name_of(type);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, MatmulTest, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
