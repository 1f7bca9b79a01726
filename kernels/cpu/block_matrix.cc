#include "kernels/cpu/block_matrix.h"

#include <algorithm>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/scratch.h"

namespace riverrun::kernels::cpu {

namespace {

// W [count, cols], dense, to a block.
template <class W>
void fill_block(const W* w, Index count, Index cols, W* block) {
  for (Index n = 0; n < kBlockRows; ++n) {
    for (Index k = 0; k < cols; ++k) block[k * kBlockRows + n] = n < count ? w[n * cols + k] : W{0};
  }
}
void fill_block_of_row_pairs(const std::uint16_t* w, Index count, Index cols, std::uint32_t* block) {
  constexpr Index kPairs = kBlockRows / 2;
  const auto bits = [&](Index n, Index k) { return n < count ? std::uint32_t{w[n * cols + k]} : 0u; };
  for (Index n = 0; n < kPairs; ++n) {
    for (Index k = 0; k < cols; ++k) block[k * kPairs + n] = bits(n, k) | bits(n + kPairs, k) << 16;
  }
}
void fill_block_of_column_pairs(const std::uint16_t* w, Index count, Index cols, std::uint32_t* block) {
  const auto bits = [&](Index n, Index k) { return n < count && k < cols ? std::uint32_t{w[n * cols + k]} : 0u; };
  for (Index n = 0; n < kBlockRows; ++n) {
    for (Index k = 0; k < cols; k += 2) block[k / 2 * kBlockRows + n] = bits(n, k) | bits(n, k + 1) << 16;
  }
}

Stored choose_stored(DType source, DType operand) {
  if (operand == DType::bf16) return multiplies_bf16_pairs() ? Stored::column_pairs : Stored::row_pairs;
  return source == DType::bf16 ? Stored::row_pairs : source == DType::f16 ? Stored::f16 : Stored::f32;
}

DType type_of(Stored stored) { return stored == Stored::f32 ? DType::f32 : stored == Stored::f16 ? DType::f16 : DType::bf16; }

std::string layout_text(Index rows, Index cols, DType operand, Stored stored) {
  return concat("cpu ", name_of(operand), " ", rows, " x ", cols, " as ", name_of(type_of(stored)), " in blocks of ", kBlockRows,
                stored == Stored::column_pairs ? ", columns in pairs" : "");
}

}  // namespace

BlockMatrix::BlockMatrix(const MatrixSource& source, DType operand, ThreadPool& pool)
    : rows_(source.rows),
      cols_(source.cols),
      type_(operand),
      stored_(choose_stored(source.type, operand)),
      data_(source.storage->take(blocks() * block_bytes(), layout_text(rows_, cols_, type_, stored_))) {
  if (!source.storage->filled()) pack(source, pool);
}

void BlockMatrix::pack(const MatrixSource& source, ThreadPool& pool) {
  std::vector<Buffer> gathered(pool.threads());
  pool.run(blocks(), [&](Index at, int worker) {
    const Index first = at * kBlockRows, count = std::min(kBlockRows, rows_ - first);
    std::byte* const dense = grown<std::byte>(gathered[worker], block_bytes());
    gather_rows(source, first, count, type_of(stored_), dense);
    std::byte* const to = data_.data() + at * block_bytes();
    const auto* const halves = reinterpret_cast<const std::uint16_t*>(dense);
    switch (stored_) {
      case Stored::f32: return fill_block(reinterpret_cast<const float*>(dense), count, cols_, reinterpret_cast<float*>(to));
      case Stored::f16: return fill_block(halves, count, cols_, reinterpret_cast<std::uint16_t*>(to));
      case Stored::row_pairs: return fill_block_of_row_pairs(halves, count, cols_, reinterpret_cast<std::uint32_t*>(to));
      case Stored::column_pairs: return fill_block_of_column_pairs(halves, count, cols_, reinterpret_cast<std::uint32_t*>(to));
    }
  });
}

}  // namespace riverrun::kernels::cpu
