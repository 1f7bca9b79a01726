// How blocks of a launch find their product.
#pragma once

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul_few_rows.h"

namespace riverrun::kernels::cuda {

struct TileOfProduct {
  const FewRowsProduct& product;
  Index m0, n0;  // its first row and column of y; the row may be behind the last
};

template <int kRows, int kColumns>
__device__ __forceinline__ TileOfProduct own_tile(const FewRowsGroup& group) {
  const unsigned row = blockIdx.x % group.row_tiles, column = blockIdx.x / group.row_tiles;
  int p = 0;
  while (p + 1 < group.count && column >= group.first_column[p + 1]) ++p;
  return {group.products[p], Index{row} * kRows, Index{column - group.first_column[p]} * kColumns};
}

// Before wait_for_previous(), for a block of kWarps warps and kColumns columns of y from n0 on: starts to bring the first of its weights,
// which no kernel writes, into the L2 cache. So memory is not idle between two products. 24 KB a block are 6 to 13 MB of all blocks
// that an H200 holds at a time, which is what it reads while one kernel ends and the next one begins.
template <int kWarps, int kColumns>
__device__ __forceinline__ void fetch_weights(const FewRowsProduct& product, Index n0, Index element_bytes) {
  constexpr Index kAhead = 24576 / kColumns;
  static_assert(kAhead % 16 == 0);
  const Index row = product.w_stride * element_bytes;
  if (threadIdx.x % kWarp != 0) return;
  for (Index n = threadIdx.x / kWarp; n < kColumns && n0 + n < product.N; n += kWarps) {
    fetch_into_l2(static_cast<const char*>(product.w) + (n0 + n) * row, static_cast<unsigned>(row < kAhead ? row : kAhead));
  }
}

template <class Test>
bool all_of(std::span<const FewRowsProduct> products, Test&& test) {
  return std::all_of(products.begin(), products.end(), test);
}

}  // namespace riverrun::kernels::cuda
