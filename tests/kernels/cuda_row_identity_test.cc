// A row of a product on a GPU has the same bits beside any number of others: what kernels/cuda/matmul_many_rows.h relies on of
// cuBLASLt, and matmul_few_rows.h promises, in the shapes of large models. Needs a GPU.

#include <optional>

#include "core/error.h"
#include "support.h"

namespace riverrun::kernels {
namespace {

constexpr Index kMostRows = 2048;

struct Shape {
  Index N, K;
};

class CudaRowIdentityTest : public testing::TestWithParam<std::tuple<Shape, DType, Phase>> {
 protected:
  void SetUp() override {
    table_.device->require(0);
    const auto [shape, type, phase] = GetParam();
    N_ = shape.N, K_ = shape.K, type_ = type, phase_ = phase;
    stream_.emplace(*table_.device, pool_);
    packed_ = table_.pack_matrix({numbers(N_ * K_, 1).data(), type_, N_, K_, K_, 1}, type_, *stream_);
    x_ = on_device(numbers(kMostRows * K_, 2));
  }

  // Of the operand type, all different in size and sign.
  Buffer numbers(Index count, std::uint32_t seed) {
    Buffer values(count * size_of(type_));
    for (Index i = 0; i < count; ++i) {
      seed = seed * 1664525u + 1013904223u;
      store_float(values.data(), type_, i, static_cast<float>(static_cast<std::int32_t>(seed)) * 0x1p-31f);
    }
    return values;
  }
  Buffer on_device(const Buffer& values) {
    Buffer there(values.bytes(), *table_.device);
    table_.device->copy(there.data(), values.data(), values.bytes(), *stream_);
    return there;
  }

  // Rows [first, first + M) of x times W, in the host's memory. y is NaN before.
  std::vector<std::byte> product(Index first, Index M, DType y_type, Epilogue epilogue) {
    std::vector<std::byte> out(static_cast<std::size_t>(M * N_ * size_of(y_type)), std::byte{0xff});
    const Buffer y(std::ssize(out), *table_.device);
    table_.device->copy(y.data(), out.data(), std::ssize(out), *stream_);
    MatmulArgs args{M, x_.data() + first * K_ * size_of(type_), packed_.get(), y.data(), y_type, epilogue};
    args.phase = phase_;
    multiply(table_, args, *stream_);
    table_.device->copy(out.data(), y.data(), std::ssize(out), *stream_);
    return out;
  }

  void expect_same_rows(DType y_type, Epilogue epilogue) {
    const auto whole = product(0, kMostRows, y_type, epilogue);
    const Index row_bytes = N_ * size_of(y_type);
    for (const Index M : {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1000, 1024, 2047}) {
      // Rows of x start at multiples of 16 bytes whatever their number.
      const Index first = (kMostRows - M) * 5 / 7;
      const auto part = product(first, M, y_type, epilogue);
      for (Index row = 0; row < M; ++row) {
        ASSERT_EQ(std::memcmp(part.data() + row * row_bytes, whole.data() + (first + row) * row_bytes, static_cast<std::size_t>(row_bytes)), 0)
            << "row " << row << " of " << M << ", " << first + row << " of " << kMostRows;
      }
    }
  }

  const KernelTable& table_ = find_backend("cuda");
  Index N_ = 0, K_ = 0;
  DType type_ = DType::f32;
  Phase phase_ = Phase::prefill;
  ThreadPool pool_{4};
  std::optional<OwnStream> stream_;
  std::unique_ptr<PackedMatrix> packed_;
  Buffer x_;
};

TEST_P(CudaRowIdentityTest, ARowHasTheSameBitsBesideAnyNumberOfOthers) { expect_same_rows(DType::f32, Epilogue::none); }

// Those of the layers: into the operand type, by way of fp32, with a function. The head has none.
class CudaLayerRowIdentityTest : public CudaRowIdentityTest {};
TEST_P(CudaLayerRowIdentityTest, SoHasARowBehindAnEpilogue) { expect_same_rows(type_, Epilogue::relu_squared); }

// Square, wide and high matrices of the layers, and LoRAs.
constexpr Shape kLayers[] = {{768, 768}, {3072, 768}, {768, 3072}, {2560, 2560}, {10240, 2560}, {2560, 10240}, {4096, 4096},
                             {16384, 4096}, {4096, 16384}, {64, 768}, {768, 64}, {128, 4096}, {4096, 128}, {480, 4096}, {4096, 480}};
constexpr Shape kHeads[] = {{65536, 768}, {65536, 2560}, {65536, 4096}};

auto in_all_types(std::span<const Shape> shapes) {
  return testing::Combine(testing::ValuesIn(shapes.begin(), shapes.end()), testing::Values(DType::f32, DType::bf16, DType::f16),
                          testing::Values(Phase::prefill, Phase::decode));
}
std::string name_of_case(const testing::TestParamInfo<std::tuple<Shape, DType, Phase>>& tested) {
  const auto [shape, type, phase] = tested.param;
  return concat(shape.N, "x", shape.K, "_", name_of(type), phase == Phase::decode ? "_decode" : "");
}
INSTANTIATE_TEST_SUITE_P(Layers, CudaRowIdentityTest, in_all_types(kLayers), name_of_case);
INSTANTIATE_TEST_SUITE_P(Heads, CudaRowIdentityTest, in_all_types(kHeads), name_of_case);
INSTANTIATE_TEST_SUITE_P(Layers, CudaLayerRowIdentityTest, in_all_types(kLayers), name_of_case);

}  // namespace
}  // namespace riverrun::kernels
