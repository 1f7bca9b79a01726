// BlockMatrix: weights of fp32 and bf16 products on machines without bf16 products in hardware, where oneDNN would keep bf16 weights as
// fp32, and without AVX-512 take the time of 64 rows for one.
#pragma once

#include "core/weight_storage.h"
#include "kernels/matmul.h"

namespace riverrun::kernels::cpu {

// Rows of W in a block. A block lies as [k][row of the block], the last one filled up with zeros: what a tile of products needs is one
// stream of memory. Of bf16, rows n and n + 8 are the lower and upper half of 32 bits, each of which becomes an fp32 by one operation.
inline constexpr Index kBlockRows = 16;
// Rows of x in a tile of products, at most.
inline constexpr Index kTileRows = 6;

class BlockMatrix final : public PackedMatrix {
 public:
  BlockMatrix(const MatrixSource& source, DType operand, ThreadPool& pool);  // f32 or bf16

  Index rows() const override { return rows_; }
  Index cols() const override { return cols_; }
  DType type() const override { return type_; }
  Index bytes() const override { return data_.bytes(); }

  // Weights of 16 bits stay so in memory and become fp32, which is exact, where they are multiplied; for bf16 operands all are bf16.
  DType stored() const { return stored_; }
  Index blocks() const { return (rows_ + kBlockRows - 1) / kBlockRows; }
  Index block_bytes() const { return kBlockRows * cols_ * size_of(stored_); }
  const std::byte* block(Index at) const { return data_.data() + at * block_bytes(); }

 private:
  void pack(const MatrixSource& source, ThreadPool& pool);

  Index rows_, cols_;
  DType type_, stored_;
  WeightMemory data_;
};

// The contract of kernels::Matmul; bf16 operands, too, are multiplied as fp32 numbers. An element is the sum over k in order, each step one
// fused multiply-add where the machine has it: so it is the same bits whatever M, its place, the number of threads and how the weights are
// stored.
class BlockProduct {
 public:
  // Cut into tasks for so many threads, which may be run in any order and at the same time.
  BlockProduct(const BlockMatrix& w, const MatmulArgs& args, Index x_stride, int threads);
  Index tasks() const { return panels_ * slabs_; }
  void run(Index task) const;

 private:
  const BlockMatrix& w_;
  const MatmulArgs& args_;
  Index x_stride_, panels_;  // of rows
  Index blocks_, slabs_;     // blocks of W in a slab
};

}  // namespace riverrun::kernels::cpu
