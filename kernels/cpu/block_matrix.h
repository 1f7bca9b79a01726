// BlockMatrix: weights of fp32 and bf16 products in blocks, for products of our own (docs/decisions/0016-own-products.md); and products of
// integers in like blocks, for Int8Matrix.
#pragma once

#include "core/weight_storage.h"
#include "kernels/matmul.h"

namespace riverrun::kernels::cpu {

// Rows of W in a block. A block lies as [column][row of the block], the last one filled up with zeros: what a tile of products needs is one
// stream of memory.
inline constexpr Index kBlockRows = 16;

// What a column of a block holds of its rows:
enum class Stored {
  f32,
  f16,
  row_pairs,     // bf16 of rows n and n + 8 as the lower and upper half of 32 bits, each of which becomes an fp32 by one operation
  column_pairs,  // bf16 of columns 2 k and 2 k + 1 of W likewise, which the processor multiplies by two of x at once; zeros beyond the last
};

// Whether bf16 operands are multiplied by pairs, and integers of 8 bits by fours, in hardware.
bool multiplies_bf16_pairs();
bool multiplies_int8_quads();

// sums [rows, blocks * kBlockRows] = x [rows, 4 * quads] times blocks whose columns hold s8 of columns 4 k to 4 k + 3 of each row, exactly; a sum
// that leaves 32 bits wraps.
void int8_quads_product(const std::uint8_t* x, Index rows, Index quads, const std::byte* w, Index blocks, std::int32_t* sums);

// Rows of x in a tile of products, at most.
inline constexpr Index kTileRows = 6;

class BlockMatrix final : public PackedMatrix {
 public:
  BlockMatrix(const MatrixSource& source, DType operand, ThreadPool& pool);  // f32 or bf16

  Index rows() const override { return rows_; }
  Index cols() const override { return cols_; }
  DType type() const override { return type_; }
  Index bytes() const override { return data_.bytes(); }

  // Weights of 16 bits stay so in memory; where they are not multiplied by pairs, they become fp32, which is exact, when they are multiplied.
  // For bf16 operands all are bf16.
  Stored stored() const { return stored_; }
  Index blocks() const { return (rows_ + kBlockRows - 1) / kBlockRows; }
  Index block_bytes() const { return kBlockRows * width() * (stored_ == Stored::f32 ? 4 : 2); }
  Index width() const { return stored_ == Stored::column_pairs ? cols_ + cols_ % 2 : cols_; }  // columns of W in a block, and zeros
  const std::byte* block(Index at) const { return data_.data() + at * block_bytes(); }

 private:
  void pack(const MatrixSource& source, ThreadPool& pool);

  Index rows_, cols_;
  DType type_;
  Stored stored_;
  WeightMemory data_;
};

// The contract of kernels::Matmul. An element is the sum over k in order, each step one fused multiply-add in fp32 where the machine has it, or
// one addition of the product of a pair of bf16: so it is the same bits whatever M, its place, the number of threads and, of fp32 operands, how
// the weights are stored. AVX512-BF16 adds the second product of two columns first, and takes what is smaller than the least normal number,
// 1.2e-38, for 0, in operands and sums.
class BlockProduct {
 public:
  // Cut into tasks for so many threads, which may be run in any order and at the same time.
  BlockProduct(const BlockMatrix& w, const MatmulArgs& args, Index x_stride, int threads);
  Index tasks() const { return panels_ * slabs_; }
  void run(Index task) const;

 private:
  // Rows of x as columns of a block take them: numbers of fp32, or pairs of bf16.
  struct Factors {
    const void* first;
    Index stride, per_row;
  };
  bool takes_rows_as_they_are() const;
  Factors factors(Index row, Index rows, float* scratch) const;

  const BlockMatrix& w_;
  const MatmulArgs& args_;
  Index x_stride_, panels_;  // of rows
  Index blocks_, slabs_;     // blocks of W in a slab
};

}  // namespace riverrun::kernels::cpu
