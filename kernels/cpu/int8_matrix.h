// Int8Matrix: weights as 8-bit integers, and products with them (contract: kernels/matmul.h).
#pragma once

#include "core/weight_storage.h"
#include "kernels/cpu/dnnl_gemm.h"
#include "kernels/matmul.h"

namespace riverrun::kernels::cpu {

// What multiplies the integers, and how the weights lie for it: oneDNN with AMX; AVX512-VNNI or AVX-VNNI in blocks of four columns at once
// (block_matrix.h); elsewhere int8_product.h.
enum class Int8Way { onednn, quads, pairs };
Int8Way best_int8_way();

class Int8Matrix final : public PackedMatrix {
 public:
  Int8Matrix(const MatrixSource& source, DType operand, Int8Way way, ThreadPool& pool);

  Index rows() const override { return rows_; }
  Index cols() const override { return cols_; }
  DType type() const override { return type_; }
  Index bytes() const override { return data_.bytes(); }

  // Slabs of a product are granule() * 2^j columns, up to kMostGranules granules, or the rest.
  Index granule() const { return layout_.granule; }

  // The height that `rows` rows are multiplied as, so that few primitives serve every height; no more than the next
  // multiple of 16.
  Index height_of(Index rows) const;
  // Bytes from a row of x to the next, of which those beyond cols() may be anything; and sums of a row of so many columns, likewise.
  Index x_stride() const;
  Index sums_stride(Index columns) const;

  // sums [height, columns], rows sums_stride(columns) apart, = x [height, cols], rows x_stride() apart, times columns [column, column + columns) of
  // the weights, which begin at multiples of the granule. The whole of sums is written, up to the stride.
  void multiply(const std::uint8_t* x, Index height, Index column, Index columns, std::int32_t* sums) const;

  const float* scales() const { return reinterpret_cast<const float*>(data_.data() + layout_.bytes); }   // [rows]
  const std::int32_t* offsets() const {  // [rows], as quantise_weights makes them
    return reinterpret_cast<const std::int32_t*>(scales() + rows_);
  }

 private:
  void pack(const MatrixSource& source, ThreadPool& pool);
  void check_sums() const;
  const std::byte* slab(Index column) const { return data_.data() + column / layout_.granule * layout_.granule_bytes; }

  Index rows_, cols_;
  DType type_;
  Int8Way way_;
  PackedLayout layout_;
  WeightMemory data_;  // the weights as layout_ says, scales, offsets
};

// args.w is `w`; the types and strides of args are checked.
void int8_matmul(const Int8Matrix& w, const MatmulArgs& args, Index x_stride, ThreadPool& pool);

}  // namespace riverrun::kernels::cpu
