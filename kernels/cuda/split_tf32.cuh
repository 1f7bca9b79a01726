// Products of the tensor cores that keep nearly fp32's accuracy: an operand x is hi + lo, both rounded to
// TF32, and x y is lo hi + hi lo + hi hi, summed in this order. What is left out is 2^-22 of the product.
//
// Fragments are taken with neighbouring columns of k, 2t and 2t + 1, for what mma.cuh calls t and t + 4, in
// both operands alike: the sum over k is the same, and a result becomes the left operand of the next product
// where it is.
#pragma once

#include "kernels/cuda/mma.cuh"

namespace riverrun::kernels::cuda {

template <int kRegisters>
struct SplitFragment {
  std::uint32_t hi[kRegisters], lo[kRegisters];

  __device__ __forceinline__ void set(int i, float value) {
    hi[i] = round_to_tf32(value);
    lo[i] = round_to_tf32(value - bits_as_float(hi[i]));
  }
};
using SplitLeft = SplitFragment<4>;   // 16 x 8
using SplitRight = SplitFragment<2>;  // 8 x 8

// Registers of a product [16, 8] as the left operand of the next.
__device__ __forceinline__ SplitLeft left_of(const float (&d)[4]) {
  SplitLeft left;
  left.set(0, d[0]), left.set(1, d[2]), left.set(2, d[1]), left.set(3, d[3]);
  return left;
}

// Rows g and g + 8, columns [column, column + 8) of a matrix in shared memory with rows `stride` floats
// apart.
__device__ __forceinline__ SplitLeft left_rows(const float* matrix, int stride, int column) {
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const auto at = [&](int row) {
    return *reinterpret_cast<const float2*>(matrix + row * stride + column + 2 * pair);
  };
  const float2 upper = at(group), lower = at(group + 8);
  return left_of({upper.x, upper.y, lower.x, lower.y});
}

// The transpose of rows [row, row + 8), columns g and g + 8 behind `column`.
__device__ __forceinline__ SplitLeft left_columns(const float* matrix, int stride, int row, int column) {
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const float* const first = matrix + (row + 2 * pair) * stride + column + group;
  return left_of({first[0], first[stride], first[8], first[stride + 8]});
}

// As [k, n]: the transpose of rows [row, row + 8), columns [column, column + 8).
__device__ __forceinline__ SplitRight right_rows(const float* matrix, int stride, int row, int column) {
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const auto two = *reinterpret_cast<const float2*>(matrix + (row + group) * stride + column + 2 * pair);
  SplitRight right;
  right.set(0, two.x), right.set(1, two.y);
  return right;
}

// As [k, n]: rows [row, row + 8), columns [column, column + 8).
__device__ __forceinline__ SplitRight right_columns(const float* matrix, int stride, int row, int column) {
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const float* const first = matrix + (row + 2 * pair) * stride + column + group;
  SplitRight right;
  right.set(0, first[0]), right.set(1, first[stride]);
  return right;
}

__device__ __forceinline__ void multiply_split(float (&d)[4], const SplitLeft& left,
                                               const SplitRight& right) {
  multiply_tf32(d, left.lo, right.hi);
  multiply_tf32(d, left.hi, right.lo);
  multiply_tf32(d, left.hi, right.hi);
}

}  // namespace riverrun::kernels::cuda
