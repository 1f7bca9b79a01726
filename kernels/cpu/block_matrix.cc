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
void fill_block_of_pairs(const std::uint16_t* w, Index count, Index cols, std::uint32_t* block) {
  constexpr Index kPairs = kBlockRows / 2;
  const auto bits = [&](Index n, Index k) { return n < count ? std::uint32_t{w[n * cols + k]} : 0u; };
  for (Index n = 0; n < kPairs; ++n) {
    for (Index k = 0; k < cols; ++k) block[k * kPairs + n] = bits(n, k) | bits(n + kPairs, k) << 16;
  }
}

}  // namespace

BlockMatrix::BlockMatrix(const MatrixSource& source, DType operand, ThreadPool& pool)
    : rows_(source.rows),
      cols_(source.cols),
      type_(operand),
      stored_(operand == DType::bf16 ? operand : source.type),
      data_(source.storage->take(blocks() * block_bytes(), concat("cpu ", name_of(type_), " ", rows_, " x ", cols_, " as ", name_of(stored_), " in blocks of ",
                                                                  kBlockRows))) {
  if (!source.storage->filled()) pack(source, pool);
}

void BlockMatrix::pack(const MatrixSource& source, ThreadPool& pool) {
  std::vector<Buffer> gathered(pool.threads());
  pool.run(blocks(), [&](Index at, int worker) {
    const Index first = at * kBlockRows, count = std::min(kBlockRows, rows_ - first);
    std::byte* const dense = grown<std::byte>(gathered[worker], block_bytes());
    gather_rows(source, first, count, stored_, dense);
    std::byte* const to = data_.data() + at * block_bytes();
    if (stored_ == DType::bf16) {
      fill_block_of_pairs(reinterpret_cast<const std::uint16_t*>(dense), count, cols_, reinterpret_cast<std::uint32_t*>(to));
    } else if (stored_ == DType::f16) {
      fill_block(reinterpret_cast<const std::uint16_t*>(dense), count, cols_, reinterpret_cast<std::uint16_t*>(to));
    } else {
      fill_block(reinterpret_cast<const float*>(dense), count, cols_, reinterpret_cast<float*>(to));
    }
  });
}

}  // namespace riverrun::kernels::cpu
