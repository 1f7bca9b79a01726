// Products of one call: each has the bits that it has alone, whatever stands beside it.
#include <memory>

#include "support.h"

namespace riverrun::kernels {
namespace {

// A product with its operands.
class Case {
 public:
  Case(const KernelTable& table, Index M, Index N, Index K, DType type, DType y_type, Epilogue epilogue, Phase phase, Stream stream,
       Index x_stride = 0, bool as_int8 = false)
      : y_type_(y_type), elements_(M * N), x_(Random(unsigned(M + 7 * N + 31 * K)).normals(M * std::max(K, x_stride)), type) {
    const auto w = Random(unsigned(N + K)).normals(N * K, 1.0f / std::sqrt(static_cast<float>(K)));
    packed_ = (as_int8 ? table.pack_int8 : table.pack_matrix)({w.data(), DType::f32, N, K, K, 1}, type, stream);
    args_ = {M, x_.data(), packed_.get(), nullptr, y_type, epilogue, x_stride, phase};
  }

  // With a new y, NaN or, for Epilogue::add, something to add to.
  const MatmulArgs& args() {
    y_ = std::make_unique<Output>(elements_, y_type_);
    if (args_.epilogue == Epilogue::add) std::fill_n(y_->f32(), elements_, 0.25f);
    args_.y = y_->data();
    return args_;
  }
  std::vector<float> result() const { return y_->values(); }

 private:
  DType y_type_;
  Index elements_;
  Output x_;
  std::unique_ptr<PackedMatrix> packed_;
  MatmulArgs args_;
  std::unique_ptr<Output> y_;
};

using Cases = std::vector<std::unique_ptr<Case>>;

// Wide and narrow, high and low, more than a launch of CUDA takes, some without rows.
Cases make_cases(const KernelTable& table, DType type, Phase phase, Stream stream) {
  Cases cases;
  const auto add = [&](Index M, Index N, Index K, DType y_type, Epilogue epilogue) {
    cases.push_back(std::make_unique<Case>(table, M, N, K, type, y_type, epilogue, phase, stream));
  };
  for (const Index M : {1, 20}) {
    add(M, 300, 64, DType::f32, Epilogue::none), add(M, 64, 300, type, Epilogue::tanh), add(M, 33, 64, DType::f32, Epilogue::add);
    add(0, 40, 40, type, Epilogue::none), add(M, 1, 520, DType::f32, Epilogue::sigmoid), add(M, 7, 10, type, Epilogue::relu_squared);
    add(2 * M, 48, 96, DType::f32, Epilogue::silu);
    cases.push_back(std::make_unique<Case>(table, M, 40, 64, type, DType::f32, Epilogue::none, phase, stream, 5 * 64));
  }
  add(70, 40, 64, DType::f32, Epilogue::none);
  return cases;
}

void expect_bits_of_each_alone(const KernelTable& table, Cases& cases, Stream stream, const std::string& what) {
  std::vector<std::vector<float>> alone;
  for (auto& one : cases) multiply(table, one->args(), stream), alone.push_back(one->result());
  std::vector<MatmulArgs> together;
  for (auto& one : cases) together.push_back(one->args());
  table.matmul(together, stream);
  for (std::size_t i = 0; i < cases.size(); ++i) EXPECT_TRUE(same_bits(cases[i]->result(), alone[i])) << what << ", product " << i;
}

class ProductsTest : public testing::TestWithParam<Variant> {};

TEST_P(ProductsTest, EachHasTheBitsThatItHasAlone) {
  const auto& table = select(GetParam());
  for (const int threads : {1, 3}) {
    Threads pool(threads);
    for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
      if (!table.multiplies(type)) continue;
      for (const Phase phase : {Phase::prefill, Phase::decode}) {
        auto cases = make_cases(table, type, phase, pool);
        expect_bits_of_each_alone(table, cases, pool, concat(name_of(type), ", ", threads, " threads"));
      }
    }
  }
}

// Small matrices keep their type where large ones become 8-bit integers.
TEST_P(ProductsTest, IntegersBesideOthersToo) {
  const auto& table = select(GetParam());
  if (table.pack_int8 == nullptr) GTEST_SKIP() << "no int8 weights";
  Threads pool(2);
  Cases cases = make_cases(table, DType::f32, Phase::decode, pool);
  for (const Index M : {1, 20}) {
    cases.push_back(std::make_unique<Case>(table, M, 70, 64, DType::f32, DType::f32, Epilogue::none, Phase::decode, pool, 0, true));
  }
  expect_bits_of_each_alone(table, cases, pool, "int8 at the end");
  std::swap(cases.front(), cases.back());
  expect_bits_of_each_alone(table, cases, pool, "int8 at both ends");
}

TEST_P(ProductsTest, NoneAreNoWork) {
  Threads pool(2);
  select(GetParam()).matmul({}, pool);
}

INSTANTIATE_TEST_SUITE_P(Backends, ProductsTest, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
