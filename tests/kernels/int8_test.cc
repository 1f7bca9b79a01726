// Products with 8-bit weights: the integers, sums and scales of kernels/matmul.h to the last bit, on every backend.
#include "kernels/int8.h"
#include "support.h"
#if RIVERRUN_WITH_CPU_KERNELS
#include "kernels/cpu/block_matrix.h"
#include "kernels/cpu/int8_matrix.h"
#include "kernels/cpu/target.h"
#include "tests/kernels/avx_vnni.h"
#endif

namespace riverrun::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Quantised {
  std::vector<int> q;
  float scale = 0;
};

// By the words of the contract, in steps of its own.
Quantised quantise(const float* x, Index size) {
  float most = 0;
  for (Index i = 0; i < size; ++i) most = std::max(most, std::abs(x[i]));
  Quantised row;
  row.scale = most / 127.0f;
  const float inverse = 127.0f / most;
  for (Index i = 0; i < size; ++i) {
    const float exact = x[i] * inverse, below = std::floor(exact), rest = exact - below;
    const int low = static_cast<int>(below);
    row.q.push_back(rest < 0.5f || (rest == 0.5f && low % 2 == 0) ? low : low + 1);
  }
  return row;
}

struct Problem {
  Index M, N, K;
  DType type;
  std::vector<float> x, w;

  Problem(Index rows, Index n, Index k, DType operand) : M(rows), N(n), K(k), type(operand) {
    Random random(static_cast<unsigned>(M * 7919 + N * 31 + K));
    x = random.normals(M * K, 3.0f);
    w = random.normals(N * K, 1.0f / std::sqrt(static_cast<float>(K)));
    if (type == DType::bf16) {
      for (float& value : x) value = bf16_to_float(float_to_bf16(value));
    }
  }

  // x_stride 0: dense; else NaN between the rows.
  std::vector<float> run(const KernelTable& table, DType y_type, Epilogue epilogue, int threads, Index x_stride = 0) const {
    Threads pool(threads);
    const auto packed = table.pack_int8({w.data(), DType::f32, N, K, K, 1}, type, pool);
    const Index stride = x_stride == 0 ? K : x_stride;
    Output operand(M == 0 ? 0 : (M - 1) * stride + K, type), y(M * N, y_type);
    for (Index i = 0; i < M * K; ++i) store_float(operand.data(), type, i / K * stride + i % K, x[i]);
    if (epilogue == Epilogue::add) std::fill_n(y.f32(), M * N, 0.25f);
    multiply(table, {M, operand.data(), packed.get(), y.data(), y_type, epilogue, x_stride}, pool);
    return y.values();
  }

  std::vector<float> by_hand() const {
    std::vector<float> y;
    for (Index m = 0; m < M; ++m) {
      const Quantised row = quantise(x.data() + m * K, K);
      for (Index n = 0; n < N; ++n) {
        const Quantised weights = quantise(w.data() + n * K, K);
        std::int64_t sum = 0;
        for (Index k = 0; k < K; ++k) sum += std::int64_t{row.q[k]} * weights.q[k];
        y.push_back(static_cast<float>(sum) * (row.scale * weights.scale));
      }
    }
    return y;
  }
};

class Int8Test : public testing::TestWithParam<Variant> {
 protected:
  void SetUp() override { table_ = &select(GetParam()); }
  // Operand types of the backend.
  std::vector<DType> types() const {
    return table_->multiplies(DType::bf16) ? std::vector{DType::f32, DType::bf16} : std::vector{DType::f32};
  }
  const KernelTable* table_ = nullptr;
};

TEST_P(Int8Test, HasTheBitsOfTheContractForEveryHeight) {
  EXPECT_TRUE(table_->multiplies(DType::i8));
  for (const DType type : types()) {
    for (const Index M : {0, 1, 2, 3, 5, 6, 7, 15, 16, 17, 31, 63, 64, 65, 130}) {
      const Problem problem(M, 96, 64, type);
      EXPECT_TRUE(same_bits(problem.run(*table_, DType::f32, Epilogue::none, 2), problem.by_hand())) << M << " rows";
    }
  }
}

TEST_P(Int8Test, HasTheBitsOfTheContractForEveryWidth) {
  for (const Index N : {1, 15, 16, 17, 31, 64, 65, 127, 192, 500, 1100}) {
    for (const Index K : {1, 2, 3, 7, 32, 33, 130, 511, 512, 513, 1030}) {
      const Problem problem(3, N, K, DType::f32);
      EXPECT_TRUE(same_bits(problem.run(*table_, DType::f32, Epilogue::none, 2), problem.by_hand())) << N << " x " << K;
    }
  }
  const Problem tall(140, 1100, 33, DType::f32);  // several slabs and panels with a rest each
  EXPECT_TRUE(same_bits(tall.run(*table_, DType::f32, Epilogue::none, 3), tall.by_hand()));
}

// More rows than are quantised at once.
TEST_P(Int8Test, ManyRowsAreTheRowsOfManyCalls) {
  const Problem problem(1100, 48, 24, DType::f32);
  EXPECT_TRUE(same_bits(problem.run(*table_, DType::f32, Epilogue::none, 3), problem.by_hand()));
}

TEST_P(Int8Test, AppliesEveryEpilogueToTheProduct) {
  for (const DType type : types()) {
    for (const auto& [M, N] : {std::pair<Index, Index>{5, 70}, {66, 530}}) {
      const Problem problem(M, N, 40, type);
      for (const auto epilogue : {Epilogue::none, Epilogue::add, Epilogue::tanh, Epilogue::sigmoid,
                                  Epilogue::relu_squared, Epilogue::silu}) {
        for (const DType y_type : {DType::f32, type}) {
          if (epilogue == Epilogue::add && y_type != DType::f32) continue;
          const bool exact = epilogue == Epilogue::none || epilogue == Epilogue::add || epilogue == Epilogue::relu_squared;
          const auto got = problem.run(*table_, y_type, epilogue, 2), expected = problem.run(oracle(), y_type, epilogue, 1);
          const std::string what = concat("M ", M, " epilogue ", static_cast<int>(epilogue), " to ", name_of(y_type));
          if (exact) EXPECT_TRUE(same_bits(got, expected)) << what;
          else expect_near(got, expected, 1e-30, 2 * rounding_of(y_type) + 1e-6, what);
        }
      }
    }
  }
}

// The identity contract, and nothing between rows that are apart is read into a product.
TEST_P(Int8Test, RowsHaveTheSameBitsForAnyHeightThreadsAndStride) {
  const Problem whole(130, 1100, 37, DType::f32);
  for (const auto epilogue : {Epilogue::add, Epilogue::tanh, Epilogue::sigmoid, Epilogue::relu_squared, Epilogue::silu}) {
    const auto expected = whole.run(*table_, DType::f32, epilogue, 1);
    for (const int threads : {2, 3, 8}) {
      for (const Index stride : {Index{0}, whole.K + 3}) {
        EXPECT_TRUE(same_bits(whole.run(*table_, DType::f32, epilogue, threads, stride), expected));
      }
    }
    for (const Index M : {1, 2, 17, 64, 129}) {
      Problem last = whole;  // the last M rows
      last.x.erase(last.x.begin(), last.x.end() - M * whole.K);
      last.M = M;
      EXPECT_TRUE(same_bits(last.run(*table_, DType::f32, epilogue, 2), {expected.end() - M * whole.N, expected.end()})) << M;
    }
  }
}

// Sums of 16 bits would saturate, sums of fp32 round; the last width fills 32 bits.
TEST_P(Int8Test, LargestSumsAreExact) {
  Threads pool(2);
  for (const Index K : {Index{64}, Index{3072}, Index{30000}, kMostInt8Cols}) {
    for (const float sign : {1.0f, -1.0f}) {
      const Index N = 17;
      Problem problem(2, N, K, DType::f32);
      std::fill(problem.x.begin(), problem.x.end(), 1.0f);
      std::fill(problem.w.begin(), problem.w.end(), sign);
      problem.w[0] = 0;  // so that not all sums are alike
      const auto y = problem.run(*table_, DType::f32, Epilogue::none, 2);
      const float scale = (1 / 127.0f) * (1 / 127.0f);
      for (Index i = 0; i < 2 * N; ++i) {
        const Index ones = i % N == 0 ? K - 1 : K;
        EXPECT_EQ(y[i], static_cast<float>(sign < 0 ? -16129 * ones : 16129 * ones) * scale) << K;
      }
    }
  }
}

#if RIVERRUN_WITH_CPU_KERNELS
void expect_the_same_bits(const KernelTable& table, const std::vector<cpu::Int8Way>& ways, const std::vector<Index>& heights) {
  Threads pool(3);
  for (const auto& [N, K] : {std::pair<Index, Index>{1, 1}, {17, 5}, {96, 64}, {530, 67}, {1100, 33}, {40, 4500}}) {
    for (const Index M : heights) {
      const Problem problem(M, N, K, DType::f32);
      const auto expected = problem.by_hand();
      for (const auto way : ways) {
        const cpu::Int8Matrix packed({problem.w.data(), DType::f32, N, K, K, 1}, DType::f32, way, pool.pool);
        Output y(M * N, DType::f32);
        multiply(table, {M, problem.x.data(), &packed, y.data(), DType::f32, Epilogue::none}, pool);
        EXPECT_TRUE(same_bits(y.values(), expected)) << M << " rows, " << N << " x " << K << ", way " << static_cast<int>(way);
      }
    }
  }
}

// The CPU backend takes the way that is fastest on its machine; all that there are have the same bits.
TEST(Int8Ways, HaveTheSameBits) {
  const auto& table = find_backend("cpu");
  std::vector<cpu::Int8Way> ways = {cpu::Int8Way::pairs};
  if (cpu::multiplies_int8_quads()) ways.push_back(cpu::Int8Way::quads);
  if (cpu::has_int8_quads(64)) ways.push_back(cpu::Int8Way::onednn);
  expect_the_same_bits(table, ways, {1, 2, 3, 7, 40, 64, 130});
}

// Processors without AVX-512 may have the same instruction for half as many integers.
TEST(Int8Ways, HaveTheSameBitsByAvxVnni) {
  const auto variants = fast_variants();
  const auto avx2 = std::ranges::find(variants, Variant::Target::avx2, &Variant::target);
  if (avx2 == variants.end()) GTEST_SKIP() << "this machine does not have AVX2";
  const auto& table = select(*avx2);
  const AvxVnniByHand instruction;
  expect_the_same_bits(table, {cpu::Int8Way::quads}, {1, 2, 3, 4, 11});  // tiles of 1 to 6 rows
  EXPECT_TRUE(AvxVnniByHand::done() > 0 || cpu::has_int8_quads(32));
  select({"cpu", "cpu", Variant::Target::any});
}
#endif

TEST_P(Int8Test, RefusesSumsThatDoNotFit) {
  Threads pool(1);
  const std::vector<float> w(kMostInt8Cols + 1, 1.0f);
  EXPECT_THROW(table_->pack_int8({w.data(), DType::f32, 1, kMostInt8Cols + 1, kMostInt8Cols + 1, 1}, DType::f32, pool), InputError);
}

// What is not finite shows, in its row or column alone and through every epilogue; nothing comes of nothing.
TEST_P(Int8Test, WhatIsNoNumberShowsAndZerosAreZeros) {
  const Problem clean(7, 70, 40, DType::f32);
  Problem spoilt = clean;
  spoilt.x[1 * 40 + 7] = kNaN, spoilt.x[1 * 40 + 8] = 5;
  spoilt.x[2 * 40] = kInfinity;
  spoilt.x[3 * 40 + 39] = -kInfinity;
  std::fill_n(spoilt.x.begin() + 4 * 40, 40, 0.0f);
  std::fill_n(spoilt.x.begin() + 5 * 40, 40, 1e-38f);
  spoilt.w[11 * 40 + 3] = kNaN, spoilt.w[12 * 40 + 3] = kInfinity;
  std::fill_n(spoilt.w.begin() + 13 * 40, 40, 0.0f);
  for (const auto epilogue : {Epilogue::none, Epilogue::add, Epilogue::tanh, Epilogue::sigmoid, Epilogue::relu_squared,
                              Epilogue::silu}) {
    const float nothing = epilogue == Epilogue::add ? 0.25f : epilogue == Epilogue::sigmoid ? 0.5f : 0.0f;
    const auto expected = clean.run(*table_, DType::f32, epilogue, 2), got = spoilt.run(*table_, DType::f32, epilogue, 2);
    for (Index i = 0; i < 7 * 70; ++i) {
      const Index row = i / 70, column = i % 70;
      const std::string what = concat("row ", row, " column ", column, " epilogue ", static_cast<int>(epilogue));
      if ((row >= 1 && row <= 3) || column == 11 || column == 12) EXPECT_TRUE(std::isnan(got[i])) << what;
      else if (row == 4 || row == 5 || column == 13) EXPECT_EQ(got[i], nothing) << what;
      else EXPECT_EQ(got[i], expected[i]) << what;
    }
  }
}

// Half a scale per number on either side is all that is lost.
TEST_P(Int8Test, StaysWithinHalfAStepOfTheExactProduct) {
  const Problem problem(20, 60, 300, DType::f32);
  const auto y = problem.run(*table_, DType::f32, Epilogue::none, 2);
  for (Index m = 0; m < problem.M; ++m) {
    const float* const x = problem.x.data() + m * problem.K;
    const double dx = quantise(x, problem.K).scale * 0.50001;
    for (Index n = 0; n < problem.N; ++n) {
      const float* const w = problem.w.data() + n * problem.K;
      const double dw = quantise(w, problem.K).scale * 0.50001;
      double exact = 0, most = 0;
      for (Index k = 0; k < problem.K; ++k) {
        exact += double{x[k]} * w[k];
        most += std::abs(x[k]) * dw + std::abs(w[k]) * dx + dx * dw;
      }
      ASSERT_NEAR(y[m * problem.N + n], exact, most);
    }
  }
}

TEST_P(Int8Test, AWeightTakesAByte) {
  Threads pool(1);
  const std::vector<float> w(768 * 256, 1.0f);
  const auto packed = table_->pack_int8({w.data(), DType::f32, 768, 256, 256, 1}, DType::f32, pool);
  EXPECT_GE(packed->bytes(), 768 * (256 + 4));
  EXPECT_LE(packed->bytes(), 768 * (256 + 8));
}

// Weights come in any type and with any strides.
TEST_P(Int8Test, PacksEverySourceTypeAndStride) {
  Threads pool(2);
  const Index N = 300, K = 70;
  Random random(3);
  const auto w = random.normals(N * K);
  const auto x = random.normals(4 * K);
  for (const DType source : {DType::f32, DType::bf16, DType::f16}) {
    Output plain(w, source), swapped(N * K, source), wide(N * (K + 3), source);
    for (Index n = 0; n < N; ++n) {
      for (Index k = 0; k < K; ++k) {
        store_float(swapped.data(), source, k * N + n, w[n * K + k]);
        store_float(wide.data(), source, n * (K + 3) + k, w[n * K + k]);
      }
    }
    const auto product = [&](const KernelTable& of, const void* data, Index row_stride, Index col_stride) {
      const auto packed = of.pack_int8({data, source, N, K, row_stride, col_stride}, DType::f32, pool);
      EXPECT_EQ(packed->rows(), N);
      EXPECT_EQ(packed->cols(), K);
      EXPECT_EQ(packed->type(), DType::f32);
      Output y(4 * N, DType::f32);
      multiply(of, {4, x.data(), packed.get(), y.data(), DType::f32, Epilogue::none}, pool);
      return y.values();
    };
    const auto expected = product(oracle(), plain.data(), K, 1);
    EXPECT_TRUE(same_bits(product(*table_, plain.data(), K, 1), expected));
    EXPECT_TRUE(same_bits(product(*table_, swapped.data(), 1, N), expected));
    EXPECT_TRUE(same_bits(product(*table_, wide.data(), K + 3, 1), expected));
  }
}

// Backends without int8 weights say so (DType::i8 in multiplies), and have nothing to test here.
std::vector<Variant> int8_variants() {
  auto variants = all_variants();
  std::erase_if(variants, [](const Variant& variant) { return select(variant).pack_int8 == nullptr; });
  return variants;
}

INSTANTIATE_TEST_SUITE_P(Backends, Int8Test, testing::ValuesIn(int8_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
