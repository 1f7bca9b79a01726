#include "kernels/cpu/int8_matrix.h"

#include <algorithm>
#include <bit>

#include "core/buffer.h"
#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/cpu/block_matrix.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/int8_product.h"
#include "kernels/cpu/int8_rows.h"
#include "kernels/cpu/table.h"

namespace riverrun::kernels::cpu {

namespace {

constexpr Index kTestRows = 64;

constexpr Index round_up(Index size, Index unit) { return ceil_div(size, unit) * unit; }

// Columns of W that lie side by side, for each row of a block.
Index group_of(Int8Way way) { return way == Int8Way::quads ? 4 : 2; }

PackedLayout layout_of(Index rows, Index cols, Int8Way way) {
  const Index block = kBlockRows * round_up(cols, group_of(way)), tile = way == Int8Way::quads ? 4 : 1;  // blocks that are multiplied together
  PackedLayout layout = {ceil_div(rows, kBlockRows) * block, tile * kBlockRows, tile * block, way == Int8Way::quads ? "blocks of fours" : "blocks of pairs"};
  if (way == Int8Way::onednn) layout = packed_layout(rows, cols, DType::i8);
  layout.bytes = round_up(layout.bytes, Index{sizeof(float)});  // what follows is aligned
  return layout;
}

WeightMemory memory_for(const MatrixSource& source, const PackedLayout& layout) {
  const Index per_row = sizeof(float) + sizeof(std::int32_t);
  return source.storage->take(layout.bytes + source.rows * per_row,
                              concat("cpu int8 ", source.rows, " x ", source.cols, " in layout ", layout.blocking));
}

// W [count, cols], dense, to whole blocks of groups of columns.
void pack_blocks(const std::int8_t* w, Index count, Index cols, Index group, std::byte* packed) {
  auto* to = reinterpret_cast<std::int8_t*>(packed);
  for (Index first = 0; first < count; first += kBlockRows) {
    for (Index k = 0; k < cols; k += group) {
      for (Index n = first; n < first + kBlockRows; ++n) {
        for (Index at = k; at < k + group; ++at) *to++ = n < count && at < cols ? w[n * cols + at] : std::int8_t{0};
      }
    }
  }
}

}  // namespace

Int8Way best_int8_way() {
  if (onednn_is_faster(DType::i8)) return Int8Way::onednn;
  return multiplies_int8_quads() ? Int8Way::quads : Int8Way::pairs;
}

Int8Matrix::Int8Matrix(const MatrixSource& source, DType operand, Int8Way way, ThreadPool& pool)
    : rows_(source.rows),
      cols_(source.cols),
      type_(operand),
      way_(way),
      layout_(layout_of(rows_, cols_, way)),
      data_(memory_for(source, layout_)) {
  if (!source.storage->filled()) pack(source, pool);
  if (way_ == Int8Way::onednn) check_sums();
}

void Int8Matrix::pack(const MatrixSource& source, ThreadPool& pool) {
  auto* const scales = reinterpret_cast<float*>(data_.data() + layout_.bytes);
  auto* const offsets = reinterpret_cast<std::int32_t*>(scales + rows_);
  constexpr Index kColumns = 256;  // of a strip, as in DnnlMatrix
  const Index width = packed_apart(layout_, rows_, kColumns);
  pool.run(ceil_div(rows_, width), [&](Index strip, int) {
    const Index first = strip * width, count = std::min(width, rows_ - first);
    const Array<float> floats(count * cols_);
    const Array<std::int8_t> integers(count * cols_);
    gather_rows(source, first, count, DType::f32, floats.data());
    for (Index n = 0; n < count; ++n) {
      scales[first + n] =
          quantise_weights(floats.data() + n * cols_, cols_, integers.data() + n * cols_, &offsets[first + n]);
    }
    if (way_ == Int8Way::onednn) {
      pack_slab(integers.data(), cols_, 1, {first, count, cols_, DType::i8}, layout_, data_.data());
    } else {
      pack_blocks(integers.data(), count, cols_, group_of(way_), data_.data() + first / layout_.granule * layout_.granule_bytes);
    }
  });
}

// Products that add pairs in 16 bits saturate on large numbers. Rows of 255, the largest there are, times these very
// weights would show it: 128 / 255 of the sum is known.
void Int8Matrix::check_sums() const {
  const Array<std::uint8_t> x(kTestRows * cols_, std::uint8_t{255});
  const Array<std::int32_t> sums(kTestRows * rows_);
  for (const Index height : {Index{1}, kTestRows}) {
    multiply(x.data(), height, 0, rows_, sums.data());
    for (Index i = 0; i < height * rows_; ++i) {
      const auto sum = static_cast<std::uint32_t>(sums[i]), offset = static_cast<std::uint32_t>(offsets()[i % rows_]);
      RR_CHECK(sum * kInt8Offset == offset * 255u,
               "int8 products are not exact on this machine; leave out --weights int8");
    }
  }
}

Index Int8Matrix::height_of(Index rows) const {
  if (way_ != Int8Way::onednn) return rows;
  return rows < 16 ? static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(rows))) : ceil_div(rows, 16) * 16;
}

Index Int8Matrix::x_stride() const { return way_ == Int8Way::quads ? round_up(cols_, 4) : cols_; }
Index Int8Matrix::sums_stride(Index columns) const { return way_ == Int8Way::quads ? round_up(columns, kBlockRows) : columns; }

void Int8Matrix::multiply(const std::uint8_t* x, Index height, Index column, Index columns, std::int32_t* sums) const {
  if (way_ == Int8Way::onednn) return find_gemm({height, columns, cols_, DType::i8, DType::i32, PostOp::none}).run(x, slab(column), sums);
  if (way_ == Int8Way::quads) return int8_quads_product(x, height, ceil_div(cols_, 4), slab(column), ceil_div(columns, kBlockRows), sums);
  int8_product(x, height, cols_, reinterpret_cast<const std::int8_t*>(slab(column)), columns, sums);
}

std::unique_ptr<PackedMatrix> pack_int8(const MatrixSource& source, DType operand, Stream stream) {
  RR_CHECK(source.rows > 0 && source.cols > 0, "a matrix of ", source.rows, " x ", source.cols);
  RR_CHECK_INPUT(source.cols <= kMostInt8Cols, "a matrix of ", source.cols, " columns is too wide for int8 weights");
  RR_CHECK_INPUT(multiplies(operand), "this CPU cannot multiply ", name_of(operand), " matrices; use --precision fp32");
  return std::make_unique<Int8Matrix>(source, operand, best_int8_way(), *stream.pool);
}

}  // namespace riverrun::kernels::cpu
