// The identity contract of matrix products: a row's bits depend on that row alone, whatever M is, wherever
// the row stands, however many threads there are. Only the CPU backend cuts products, so only it is tested.
#include "support.h"

#if RIVERRUN_WITH_CPU_KERNELS
#include <thread>

#include "kernels/cpu/block_matrix.h"
#include "kernels/cpu/row_identity.h"
#include "kernels/cpu/target.h"

namespace riverrun::kernels {
namespace {

constexpr Index kMostRows = 300;

struct Shape {
  Index N, K;
};
void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.N << "x" << shape.K; }

// Ours, and oneDNN's, which the backend takes on some machines only.
enum class Library { own, onednn };

class RowIdentityTest : public testing::TestWithParam<std::tuple<Shape, DType, Library>> {
 protected:
  RowIdentityTest() : table_(find_backend("cpu")) {
    const auto [shape, type, library] = GetParam();
    N_ = shape.N, K_ = shape.K, type_ = type, library_ = library;
    Random random(17);
    w_ = random.normals(N_ * K_);
    const auto values = random.normals(kMostRows * K_);
    x_ = Buffer(kMostRows * K_ * size_of(type));
    for (Index i = 0; i < kMostRows * K_; ++i) store_float(x_.data(), type, i, values[i]);
  }

  bool unsupported() const { return library_ == Library::onednn && type_ == DType::bf16 && !cpu::has_bf16_pairs(); }
  std::unique_ptr<PackedMatrix> pack(Stream stream) const {
    const MatrixSource source = {w_.data(), DType::f32, N_, K_, K_, 1};
    if (library_ == Library::onednn) return cpu::pack_for_onednn(source, type_, *stream.pool);
    return std::make_unique<cpu::BlockMatrix>(source, type_, *stream.pool);
  }
  // Rows [first, first + M) of x times W.
  std::vector<float> product(const PackedMatrix& w, Index first, Index M, Epilogue epilogue,
                             Stream stream) const {
    std::vector<float> y(M * N_, 0.5f);
    multiply(table_, {M, x_.data() + first * K_ * size_of(type_), &w, y.data(), DType::f32, epilogue}, stream);
    return y;
  }
  void expect_rows(const std::vector<float>& got, const std::vector<float>& whole, Index first,
                   const std::string& what) {
    ASSERT_EQ(std::memcmp(got.data(), whole.data() + first * N_, got.size() * sizeof(float)), 0) << what;
  }

  const KernelTable& table_;
  Index N_, K_;
  DType type_;
  Library library_;
  std::vector<float> w_;
  Buffer x_;
};

TEST_P(RowIdentityTest, RowsHaveTheSameBitsForAnyHeightPlaceAndThreads) {
  if (unsupported()) GTEST_SKIP() << "no " << name_of(type_) << " products on this machine";
  Threads one(1), two(2), four(4);
  const auto w = pack(two);
  // Large matrices take fewer heights, to keep the test fast; all heights up to a panel's and its edges are
  // covered.
  const Index step = N_ * K_ <= 192 * 192 ? 1 : N_ * K_ < 3000000 ? 13 : 37;
  const Index most = N_ * K_ < 3000000 ? kMostRows : 80;
  for (const auto epilogue : {Epilogue::none, Epilogue::add, Epilogue::tanh, Epilogue::sigmoid,
                              Epilogue::relu_squared, Epilogue::silu}) {
    if (epilogue != Epilogue::none && N_ * K_ > 200000) continue;
    const auto whole = product(*w, 0, most, epilogue, one);
    for (Index M = 1; M <= most; M += (M % 64 >= 62 || M % 64 <= 2) && M < 131 && most > 80 ? 1 : step) {
      const Index first = (most - M) * 7 % (most - M + 1);
      for (Stream stream : {Stream(one), Stream(two), Stream(four)}) {
        expect_rows(product(*w, first, M, epilogue, stream), whole, first,
                    concat(M, " rows from ", first, ", ", stream.pool->threads(), " threads"));
      }
    }
  }
}

TEST_P(RowIdentityTest, PackingGivesTheSameBitsForAnyThreads) {
  if (unsupported()) GTEST_SKIP() << "no " << name_of(type_) << " products on this machine";
  Threads one(1), four(4);
  const auto a = pack(one), b = pack(four);
  EXPECT_TRUE(same_bits(product(*a, 3, 5, Epilogue::none, one), product(*b, 3, 5, Epilogue::none, one)));
}

// Ranks that are threads share one packed matrix.
TEST_P(RowIdentityTest, SeveralThreadsMayUseOneMatrixAtOnce) {
  if (unsupported()) GTEST_SKIP() << "no " << name_of(type_) << " products on this machine";
  if (N_ * K_ > 1000000) GTEST_SKIP() << "small shapes prove it as well";
  Threads owner(1);
  const auto w = pack(owner);
  const auto whole = product(*w, 0, 90, Epilogue::none, owner);
  std::vector<std::thread> ranks;
  std::atomic<int> wrong = 0;
  for (Index rank = 0; rank < 3; ++rank) {
    ranks.emplace_back([&, rank] {
      Threads pool(2);
      for (Index M = 1 + rank; M <= 90; M += 11) {
        const auto y = product(*w, 90 - M, M, Epilogue::none, pool);
        wrong += std::memcmp(y.data(), whole.data() + (90 - M) * N_, y.size() * sizeof(float)) != 0;
      }
    });
  }
  for (auto& rank : ranks) rank.join();
  EXPECT_EQ(wrong, 0);
}

// The way out for machines where oneDNN breaks the contract: constant panels, padded. Forced here, it must
// compute the same products, and keep the contract by itself.
class FixedPanelsTest : public RowIdentityTest {};
TEST_P(FixedPanelsTest, KeepTheContractToo) {
  if (unsupported()) GTEST_SKIP() << "no " << name_of(type_) << " products on this machine";
  Threads one(1), three(3);
  auto free = pack(one), fixed = pack(one);
  dynamic_cast<cpu::DnnlMatrix&>(*fixed).fix_panels();
  const auto expected = product(*free, 0, 150, Epilogue::none, one),
             whole = product(*fixed, 0, 150, Epilogue::none, one);
  const double bound =
      static_cast<double>(K_) * kRoundoff * 6.0 * static_cast<double>(K_);  // sum |x w| < 6 K
  expect_near(whole, expected, bound, 0, "fixed panels");
  for (const Index M : {1, 63, 64, 65, 150}) {
    expect_rows(product(*fixed, 150 - M, M, Epilogue::none, three), whole, 150 - M, concat(M, " rows"));
  }
}

// Weights keep the size they have in the checkpoint, but for what fills up the last block.
TEST(BlockMatrixTest, KeepsWeightsOf16BitsInHalfTheMemory) {
  const auto& table = find_backend("cpu");
  Threads two(2);
  const std::vector<float> wide(100 * 70, 0.5f);
  const std::vector<std::uint16_t> narrow(100 * 70, float_to_bf16(0.5f));
  const auto bytes = [&](const void* data, DType type, DType operand) {
    return table.pack_matrix({data, type, 100, 70, 70, 1}, operand, two)->bytes();
  };
  EXPECT_EQ(bytes(wide.data(), DType::f32, DType::f32), 112 * 70 * 4);
  EXPECT_EQ(bytes(narrow.data(), DType::bf16, DType::f32), 112 * 70 * 2);
  EXPECT_EQ(bytes(narrow.data(), DType::f16, DType::f32), 112 * 70 * 2);
  const cpu::BlockMatrix of_bf16({wide.data(), DType::f32, 100, 69, 70, 1}, DType::bf16, two.pool);
  EXPECT_EQ(of_bf16.bytes(), 112 * (of_bf16.stored() == cpu::Stored::column_pairs ? 70 : 69) * 2);
}

// Whatever tile an element falls into, and so on every machine with fused multiply-adds.
TEST(BlockMatrixTest, SumsOverTheColumnsInOrder) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no fused multiply-add";
#endif
  const auto& table = find_backend("cpu");
  Threads one(1), two(2);
  constexpr Index N = 150, K = 2101, kRows = 97;  // more columns than are multiplied at once, blocks for tiles of any width
  Random random(1);
  const auto x = random.normals(kRows * K), w = random.normals(N * K);
  Output narrow_x(x, DType::bf16), narrow_w(w, DType::bf16), half_w(w, DType::f16);
  const auto of_narrow_x = narrow_x.values(), of_narrow_w = narrow_w.values(), of_half_w = half_w.values();
  struct Case {
    const void* x;
    MatrixSource w;
    DType operand;
    const std::vector<float>*x_values, *w_values;
  };
  for (const Case& c : {Case{x.data(), {w.data(), DType::f32, N, K, K, 1}, DType::f32, &x, &w},
                        Case{x.data(), {narrow_w.data(), DType::bf16, N, K, K, 1}, DType::f32, &x, &of_narrow_w},
                        Case{x.data(), {half_w.data(), DType::f16, N, K, K, 1}, DType::f32, &x, &of_half_w},
                        Case{narrow_x.data(), {narrow_w.data(), DType::bf16, N, K, K, 1}, DType::bf16, &of_narrow_x, &of_narrow_w}}) {
    const cpu::BlockMatrix packed(c.w, c.operand, two.pool);
    const bool pairs = packed.stored() == cpu::Stored::column_pairs;
    std::vector<float> expected(kRows * N);
    for (Index i = 0; i < kRows * N; ++i) {
      // Processors that multiply pairs of bf16 add the product of the second first. It is exact in fp32.
      for (Index at = 0; at < (pairs ? K + 1 : K); ++at) {
        const Index k = pairs ? at ^ 1 : at;
        if (k < K) expected[i] = std::fma((*c.x_values)[i / N * K + k], (*c.w_values)[i % N * K + k], expected[i]);
      }
    }
    for (const Index M : {1, 2, 3, 4, 5, 6, 7, 13, 17, 18, 19, 31, 96, 97}) {
      for (Threads* threads : {&one, &two}) {
        Output y(M * N, DType::f32);
        multiply(table, {M, c.x, &packed, y.data(), DType::f32, Epilogue::none, 0, Phase::prefill}, *threads);
        EXPECT_TRUE(same_bits(y.values(), {expected.begin(), expected.begin() + M * N}))
            << M << " rows, " << name_of(c.w.type) << " weights, " << name_of(c.operand) << " operands, " << threads->pool.threads() << " threads";
      }
    }
  }
}

// Numbers below the normal ones: AVX512-BF16 takes them for 0, fp32 does not.
TEST(BlockMatrixTest, PairsTakeTheSmallestNumbersForZero) {
  const auto& table = find_backend("cpu");
  Threads one(1);
  const float least = std::numeric_limits<float>::denorm_min() * 0x1p20f;
  const std::uint16_t x[2] = {float_to_bf16(least), float_to_bf16(1.0f)}, w[2] = {float_to_bf16(1.0f), float_to_bf16(0.0f)};
  const cpu::BlockMatrix packed({w, DType::bf16, 1, 2, 2, 1}, DType::bf16, one.pool);
  Output y(1, DType::f32);
  multiply(table, {1, x, &packed, y.data(), DType::f32, Epilogue::none}, one);
  EXPECT_EQ(y[0], packed.stored() == cpu::Stored::column_pairs ? 0.0f : bf16_to_float(x[0]));
}

// A machine that breaks the contract breaks it in most shapes: one line says so, whatever the number of matrices.
TEST(RowIdentityWarning, ComesOnceAndFixesEveryLaterMatrixOfItsType) {
  find_backend("cpu");  // which obeys RIVERRUN_CPU_TARGET
  Threads two(2);
  const std::vector<float> w(448 * 96, 0.3f);
  for (const DType type : {DType::f32, DType::bf16}) {
    if (type == DType::bf16 && !cpu::has_bf16_pairs()) continue;
    testing::internal::CaptureStderr();
    std::vector<bool> fixed;
    for (const Index N : {448, 352, 288, 416}) {
      fixed.push_back(cpu::pack_for_onednn({w.data(), DType::f32, N, 96, 96, 1}, type, two.pool)->fixed_panels());
    }
    const std::string log = testing::internal::GetCapturedStderr();
    const auto first = log.find("oneDNN rounds");
    EXPECT_EQ(first != std::string::npos, fixed.back()) << log;
    if (first != std::string::npos) {
      EXPECT_EQ(log.find("oneDNN rounds", first + 1), std::string::npos) << log;
    }
    EXPECT_TRUE(std::is_sorted(fixed.begin(), fixed.end()));
  }
}

const auto shape_name = [](const testing::TestParamInfo<RowIdentityTest::ParamType>& test) {
  const auto& [shape, type, library] = test.param;
  return concat(shape.N, "x", shape.K, "_", name_of(type), library == Library::onednn ? "_onednn" : "");
};
INSTANTIATE_TEST_SUITE_P(
    Shapes, RowIdentityTest,
    testing::Combine(testing::Values(Shape{32, 32}, Shape{64, 768}, Shape{768, 64}, Shape{96, 768},
                                     Shape{768, 96}, Shape{128, 768}, Shape{768, 128}, Shape{192, 192},
                                     Shape{1000, 96}, Shape{128, 1000}, Shape{1000, 1000}, Shape{67, 33},
                                     Shape{1, 7}, Shape{31, 1}, Shape{768, 768}, Shape{3072, 768},
                                     Shape{768, 3072}, Shape{65536, 64}),
                     testing::Values(DType::f32, DType::bf16), testing::Values(Library::own)),
    shape_name);
const auto of_onednn = testing::Combine(testing::Values(Shape{64, 768}, Shape{768, 96}, Shape{192, 192}, Shape{1000, 96}, Shape{67, 33},
                                                        Shape{1, 7}, Shape{31, 1}),
                                        testing::Values(DType::f32, DType::bf16), testing::Values(Library::onednn));
INSTANTIATE_TEST_SUITE_P(OfOneDnn, RowIdentityTest, of_onednn, shape_name);
INSTANTIATE_TEST_SUITE_P(OfOneDnn, FixedPanelsTest, of_onednn, shape_name);

}  // namespace
}  // namespace riverrun::kernels
#endif
