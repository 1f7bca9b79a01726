// How blocks of a launch find their product.
#pragma once

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul_few_rows.h"

namespace riverrun::kernels::cuda {

struct BlockOfProduct {
  const FewRowsProduct& product;
  Index block;  // of those the product has in x
};

__device__ __forceinline__ BlockOfProduct own_block(const FewRowsGroup& group) {
  int p = 0;
  while (p + 1 < group.count && blockIdx.x >= group.first_block[p + 1]) ++p;
  return {group.products[p], Index{blockIdx.x - group.first_block[p]}};
}

// Before wait_for_previous(), for a block of kOutputs columns of y from n0 on: starts to bring the first of its weights, which no kernel
// writes, into the L2 cache. So memory is not idle between two products. What is brought are kAhead bytes of each row of W: of all blocks
// that a GPU holds at a time some 12 MB, as much as it reads while one kernel ends and the next one begins.
template <int kOutputs>
__device__ __forceinline__ void fetch_weights(const FewRowsProduct& product, Index n0, Index element_bytes) {
  constexpr Index kAhead = 2048;
  const Index n = n0 + threadIdx.x, row = product.w_stride * element_bytes;
  if (blockIdx.y != 0 || threadIdx.x >= kOutputs || n >= product.N) return;
  fetch_into_l2(static_cast<const char*>(product.w) + n * row, static_cast<unsigned>(row < kAhead ? row : kAhead));
}

// Of all products of a launch.
inline dim3 blocks_of(const FewRowsGroup& group, Index rows_of_a_block) {
  unsigned rows = 0;
  for (int p = 0; p < group.count; ++p) rows = std::max(rows, blocks_for(group.products[p].M, rows_of_a_block));
  return dim3(group.first_block[group.count], rows);
}

template <class Test>
bool all_of(std::span<const FewRowsProduct> products, Test&& test) {
  return std::all_of(products.begin(), products.end(), test);
}

}  // namespace riverrun::kernels::cuda
