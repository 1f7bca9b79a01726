#include "kernels/cuda/packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr Index kStagedBytes = Index{16} << 20;
constexpr Index kLeastConverted = 1 << 16;  // elements that are worth a thread

// Row n of the source, in the operand type.
void convert_row(const MatrixSource& source, Index n, DType operand, std::byte* row) {
  if (source.type == operand && source.col_stride == 1) {
    const Index size = size_of(operand);
    std::memcpy(row, static_cast<const std::byte*>(source.data) + n * source.row_stride * size, static_cast<std::size_t>(source.cols * size));
    return;
  }
  for (Index k = 0; k < source.cols; ++k) {
    store_float(row, operand, k, load_float(source.data, source.type, n * source.row_stride + k * source.col_stride));
  }
}

}  // namespace

// The source is in the host's memory: it is converted piece by piece there, by all threads, and each piece copied.
CudaMatrix::CudaMatrix(const MatrixSource& source, DType operand, Stream stream)
    : rows_(source.rows),
      cols_(source.cols),
      type_(operand),
      data_(device_weights(rows_ * stride() * size_of(operand), *stream.device)) {
  RR_CHECK(!source.storage->filled(), "weights of a GPU that others have packed");
  const Index row_bytes = stride() * size_of(operand),
              rows_at_once = std::max<Index>(1, kStagedBytes / row_bytes);
  std::vector<std::byte> staged(static_cast<std::size_t>(std::min(rows_at_once, rows_) * row_bytes));
  for (Index first = 0; first < rows_; first += rows_at_once) {
    const Index count = std::min(rows_at_once, rows_ - first);
    // Behind the columns rows are zero from the start.
    stream.pool->run_ranges(count, std::max<Index>(1, kLeastConverted / cols_), [&](Index begin, Index end, int) {
      for (Index n = begin; n < end; ++n) convert_row(source, first + n, operand, staged.data() + n * row_bytes);
    });
    stream.device->copy(data_.data() + first * row_bytes, staged.data(), count * row_bytes, stream);
  }
}

std::unique_ptr<PackedMatrix> pack_matrix(const MatrixSource& source, DType operand, Stream stream) {
  RR_CHECK_INPUT(operand == DType::f32 || operand == DType::bf16 || operand == DType::f16,
                 "the CUDA backend multiplies fp32, bf16 and fp16, not ", name_of(operand));
  return std::make_unique<CudaMatrix>(source, operand, stream);
}

}  // namespace riverrun::kernels::cuda
