#include "kernels/cuda/matmul_many_rows.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <tuple>

#include "core/log.h"
#include "kernels/cuda/apply_epilogue.h"
#include "kernels/cuda/cublas_lt.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/launch.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr Index kRowsChosenFor = 2048;                // a large block; the choice holds for any other number
constexpr Index kOtherRows[] = {1, 2, 15, 16, 65, 129, 1000, 8192};  // for which it is asked whether it does
constexpr int kMostChoices = 16;
constexpr std::size_t kNoWorkspace = 0;               // so that no sum is put together from parts, whatever M is
constexpr std::uint32_t kAlignment = 16;              // bytes

void check_lt(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(concat("cuBLASLt: ", what, ": ", cublas_lt().status_string(status)));
}

cudaDataType_t cuda_type(DType type) {
  switch (type) {
    case DType::f32: return CUDA_R_32F;
    case DType::bf16: return CUDA_R_16BF;
    case DType::f16: return CUDA_R_16F;
    default: RR_CHECK(false, "no products of ", name_of(type)); return CUDA_R_32F;
  }
}

template <auto destroy>
struct Destroy {
  template <class Handle>
  void operator()(Handle handle) const {
    (void)(cublas_lt().*destroy)(handle);
  }
};
using Operation = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy<&CublasLt::operation_destroy>>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy<&CublasLt::layout_destroy>>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy<&CublasLt::preference_destroy>>;

// A handle may be used by several threads at once.
cublasLtHandle_t handle() {
  static const cublasLtHandle_t kHandle = [] {
    cublasLtHandle_t made = nullptr;
    check_lt(cublas_lt().create(&made), "start");
    return made;
  }();
  return kHandle;
}

// Rows of ours are columns to cuBLASLt: y^T [rows, M] = W [rows, cols] x^T [cols, M], where W and x lie transposed or not
// as their rows are dense.
Operation make_operation() {
  cublasLtMatmulDesc_t made = nullptr;
  // 32F is fp32 to the last bit for fp32 operands: TF32 would be a compute type of its own.
  check_lt(cublas_lt().operation_create(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product");
  Operation operation(made);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  check_lt(cublas_lt().operation_set(made, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed), "a product");
  return operation;
}

Layout make_layout(DType type, Index rows, Index columns, Index stride) {
  cublasLtMatrixLayout_t made = nullptr;
  check_lt(cublas_lt().layout_create(&made, cuda_type(type), static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns), stride),
        "a matrix");
  return Layout(made);
}

struct Shape {
  Index N, K, w_stride, x_stride;
  DType operand, y_type;
  auto operator<=>(const Shape&) const = default;
};

struct Layouts {
  Layouts(const Shape& shape, Index M)
      : w(make_layout(shape.operand, shape.K, shape.N, shape.w_stride)), x(make_layout(shape.operand, shape.K, M, shape.x_stride)),
        y(make_layout(shape.y_type, shape.N, M, shape.N)) {}
  Layout w, x, y;
};

// Whether the algorithm says of itself that it cuts sums along the columns: in a number of parts, or, with a negative number, as the rows
// have it. What says nothing does not.
bool cuts_sums(const cublasLtMatmulAlgo_t& algorithm) {
  const auto has = [&](cublasLtMatmulAlgoConfigAttributes_t what, auto value, auto is_cut) {
    std::size_t size = 0;
    return cublas_lt().algorithm_get(&algorithm, what, &value, sizeof value, &size) == CUBLAS_STATUS_SUCCESS && size == sizeof value &&
           is_cut(value);
  };
  return has(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, std::int32_t{}, [](std::int32_t parts) { return parts != 0 && parts != 1; }) ||
         has(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, std::uint32_t{},
             [](std::uint32_t scheme) { return scheme != CUBLASLT_REDUCTION_SCHEME_NONE; });
}

bool takes_other_rows(const cublasLtMatmulAlgo_t& algorithm, const Shape& shape) {
  const Operation operation = make_operation();
  return std::ranges::all_of(kOtherRows, [&](Index rows) {
    const Layouts layouts(shape, rows);
    cublasLtMatmulHeuristicResult_t result;
    const cublasStatus_t status = cublas_lt().check(handle(), operation.get(), layouts.w.get(), layouts.x.get(), layouts.y.get(),
                                                    layouts.y.get(), &algorithm, &result);
    return status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= kNoWorkspace;
  });
}

// Of those that take any number of rows the first, which cuBLASLt holds for the fastest.
std::optional<cublasLtMatmulAlgo_t> choose_algorithm(const Shape& shape) {
  const Operation operation = make_operation();
  const Layouts layouts(shape, kRowsChosenFor);
  cublasLtMatmulPreference_t made = nullptr;
  check_lt(cublas_lt().preference_create(&made), "a choice");
  const Preference preference(made);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t what, const auto& value) {
    check_lt(cublas_lt().preference_set(preference.get(), what, &value, sizeof value), "a choice");
  };
  const std::uint32_t uncut = CUBLASLT_REDUCTION_SCHEME_NONE;
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uncut);
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kNoWorkspace);
  for (const auto what : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(what, kAlignment);
  }
  cublasLtMatmulHeuristicResult_t found[kMostChoices];
  int count = 0;
  check_lt(cublas_lt().choose(handle(), operation.get(), layouts.w.get(), layouts.x.get(), layouts.y.get(), layouts.y.get(),
                                       preference.get(), kMostChoices, found, &count),
        "a choice");
  for (const auto& result : std::span(found, static_cast<std::size_t>(count))) {
    if (result.state == CUBLAS_STATUS_SUCCESS && !cuts_sums(result.algo) && takes_other_rows(result.algo, shape)) return result.algo;
  }
  log_warning("cuBLASLt has no one way to multiply any number of rows by a ", name_of(shape.operand), " matrix of ", shape.N, " x ", shape.K,
              ": riverrun's kernels for few rows do it, more slowly");
  return std::nullopt;
}

const std::optional<cublasLtMatmulAlgo_t>& algorithm(const Shape& shape) {
  static std::mutex mutex;
  static std::map<Shape, std::optional<cublasLtMatmulAlgo_t>> chosen;
  const std::scoped_lock lock(mutex);
  auto found = chosen.find(shape);
  if (found == chosen.end()) found = chosen.emplace(shape, choose_algorithm(shape)).first;
  return found->second;
}

// The function of an epilogue is of the fp32 sum, and what it gives is rounded: sums of 16 bits would be rounded twice.
bool is_plain(Epilogue epilogue) { return epilogue == Epilogue::none || epilogue == Epilogue::add; }

Shape shape_of(const CudaMatrix& w, const MatmulArgs& args) {
  return {w.rows(), w.cols(), w.stride(), args.x_stride == 0 ? w.cols() : args.x_stride, w.type(),
          is_plain(args.epilogue) ? args.y_type : DType::f32};
}

// Memory in the order of a stream.
class Scratch {
 public:
  Scratch(std::size_t bytes, Stream stream) : stream_(native(stream)) {
    cudaError_t error = cudaMallocAsync(&data_, bytes, stream_);
    if (error == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();  // it would be reported by the next launch
      give_back_freed();
      error = cudaMallocAsync(&data_, bytes, stream_);
    }
    check(error, "scratch memory of a product");
  }
  ~Scratch() { (void)cudaFreeAsync(data_, stream_); }  // an error of the stream shows when it is waited for
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const { return data_; }

 private:
  cudaStream_t stream_;
  void* data_ = nullptr;
};

void multiply(const Shape& shape, Index M, const void* w, const void* x, void* y, bool add, Stream stream) {
  const Operation operation = make_operation();
  const Layouts layouts(shape, M);
  const float one = 1, kept = add ? 1 : 0;
  check_lt(cublas_lt().multiply(handle(), operation.get(), &one, w, layouts.w.get(), x, layouts.x.get(), &kept, y, layouts.y.get(), y,
                       layouts.y.get(), &*algorithm(shape), nullptr, kNoWorkspace, native(stream)),
        "a product");
}

bool is_aligned(const void* data, Index row_bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % kAlignment == 0 && row_bytes % kAlignment == 0;
}

}  // namespace

bool takes_many_rows(const CudaMatrix& w, const MatmulArgs& args) {
  const Shape shape = shape_of(w, args);
  return is_aligned(args.x, shape.x_stride * size_of(w.type())) && is_aligned(args.y, w.rows() * size_of(args.y_type)) &&
         algorithm(shape).has_value();
}

void matmul_many_rows(const CudaMatrix& w, const MatmulArgs& args, Stream stream) {
  if (args.M == 0) return;
  const Shape shape = shape_of(w, args);
  if (is_plain(args.epilogue)) {
    multiply(shape, args.M, w.data(), args.x, args.y, args.epilogue == Epilogue::add, stream);
    return;
  }
  const Index elements = args.M * w.rows();
  std::optional<Scratch> sums;
  if (args.y_type != DType::f32) sums.emplace(static_cast<std::size_t>(elements) * sizeof(float), stream);
  void* const product = sums ? sums->data() : args.y;
  multiply(shape, args.M, w.data(), args.x, product, false, stream);
  apply_epilogue({elements, static_cast<const float*>(product), args.y, args.y_type, args.epilogue}, stream);
}

}  // namespace riverrun::kernels::cuda
