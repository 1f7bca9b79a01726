#include "kernels/cuda/packed_matrix.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {
constexpr Index kStagedBytes = Index{16} << 20;
}

// The source is in the host's memory: it is converted piece by piece there, and each piece copied.
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
    for (Index n = 0; n < count; ++n) {
      std::byte* const row = staged.data() + n * row_bytes;  // zero behind the columns from the start
      for (Index k = 0; k < cols_; ++k) {
        const Index at = (first + n) * source.row_stride + k * source.col_stride;
        store_float(row, operand, k, load_float(source.data, source.type, at));
      }
    }
    stream.device->copy(data_.data() + first * row_bytes, staged.data(), count * row_bytes, stream);
  }
}

std::unique_ptr<PackedMatrix> pack_matrix(const MatrixSource& source, DType operand, Stream stream) {
  RR_CHECK_INPUT(operand == DType::f32 || operand == DType::bf16 || operand == DType::f16,
                 "the CUDA backend multiplies fp32, bf16 and fp16, not ", name_of(operand));
  return std::make_unique<CudaMatrix>(source, operand, stream);
}

}  // namespace riverrun::kernels::cuda
