// Products with few rows of x (decoding): the weights are read once from memory, which is what such a product
// costs. Several go into one launch: small ones would leave the GPU idle one after the other.
#pragma once

#include <span>

#include "kernels/cuda/packed_matrix.h"

namespace riverrun::kernels::cuda {

// The contract of kernels::Matmul, for any number of rows. How the sum over the columns is cut depends on
// nothing but their number, so that a row has the same bits whichever kernel of this file, how many rows, and which other
// products it meets.
void matmul_few_rows(std::span<const MatmulArgs> products, Stream stream);

struct FewRowsProduct {
  Index M, N, K, w_stride, x_stride;
  const void *x, *w;
  void* y;
  DType y_type;
  Epilogue epilogue;
};

// As a launch gets them: y in tiles of some rows and columns, of which product p has the columns of tiles [first_column[p],
// first_column[p + 1]). A block has a tile; those below one another follow one another, so that they find their weights in the L2 cache.
inline constexpr int kMostProducts = 8;
struct FewRowsGroup {
  int count = 0;
  unsigned row_tiles = 0;  // of the product with most
  unsigned first_column[kMostProducts + 1] = {};
  FewRowsProduct products[kMostProducts];

  unsigned blocks() const { return row_tiles * first_column[count]; }
};
FewRowsGroup group_of(std::span<const FewRowsProduct> products, Index tile_rows, Index tile_columns);

// At most kMostProducts, which have rows; those in fp32 of one few_warps().
void few_rows_f32(std::span<const FewRowsProduct> products, Stream stream);
void few_rows_16(std::span<const FewRowsProduct> products, DType operand, Stream stream);

// In fp32: whether so few columns are summed by few warps.
bool few_warps(const FewRowsProduct& product);

}  // namespace riverrun::kernels::cuda
