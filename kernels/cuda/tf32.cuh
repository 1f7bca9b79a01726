// Products of the tensor cores in TF32, by fragments of operands.
//
// Tf32::split keeps nearly fp32's accuracy: an operand x is hi + lo, both rounded to TF32, and x y is lo hi +
// hi lo + hi hi, summed in this order. What is left out is 2^-22 of the product. Tf32::rounded has hi alone:
// one product instead of three, of operands that are off by up to 2^-11 of themselves.
//
// Fragments are taken with neighbouring columns of k, 2t and 2t + 1, for what mma.cuh calls t and t + 4, in
// both operands alike: the sum over k is the same, and a result becomes the left operand of the next product
// where it is.
#pragma once

#include "kernels/cuda/mma.cuh"

namespace riverrun::kernels::cuda {

enum class Tf32 { split, rounded };

// set(i, x): register i of an operand from fp32. set_kept(i, x): from what as_kept(x) gave, which is what an
// operand in shared memory is kept as: there it is rounded once, and not by every warp that loads it.
template <Tf32 kind, int kRegisters>
struct Fragment;

template <int kRegisters>
struct Fragment<Tf32::split, kRegisters> {
  std::uint32_t hi[kRegisters], lo[kRegisters];

  __device__ __forceinline__ void set(int i, float value) {
    hi[i] = round_to_tf32(value) & kTf32Bits;
    lo[i] = round_to_tf32(value - bits_as_float(hi[i]));
  }
  __device__ __forceinline__ void set_kept(int i, float value) { set(i, value); }
};

template <int kRegisters>
struct Fragment<Tf32::rounded, kRegisters> {
  std::uint32_t hi[kRegisters];

  __device__ __forceinline__ void set(int i, float value) { hi[i] = round_to_tf32(value); }
  __device__ __forceinline__ void set_kept(int i, float value) { hi[i] = float_as_bits(value); }
};

template <Tf32 kind>
using Left = Fragment<kind, 4>;  // 16 x 8
template <Tf32 kind>
using Right = Fragment<kind, 2>;  // 8 x 8

template <Tf32 kind>
__device__ __forceinline__ float as_kept(float value) {
  return kind == Tf32::split ? value : bits_as_float(round_to_tf32(value));
}

// Registers of a product [16, 8] as the left operand of the next.
template <Tf32 kind>
__device__ __forceinline__ Left<kind> left_of(const float (&d)[4]) {
  Left<kind> left;
  left.set(0, d[0]), left.set(1, d[2]), left.set(2, d[1]), left.set(3, d[3]);
  return left;
}

// Of a matrix in shared memory with rows `stride` floats apart, whose elements are kept, rows g and g + 8,
// columns [column, column + 8).
template <Tf32 kind>
__device__ __forceinline__ Left<kind> left_rows(const float* matrix, int stride, int column) {
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const auto at = [&](int row) {
    return *reinterpret_cast<const float2*>(matrix + row * stride + column + 2 * pair);
  };
  const float2 upper = at(group), lower = at(group + 8);
  Left<kind> left;
  left.set_kept(0, upper.x), left.set_kept(1, lower.x), left.set_kept(2, upper.y), left.set_kept(3, lower.y);
  return left;
}

// Where row t stands in a matrix whose columns are read: of every eight rows, 2t and 2t + 1 stand at t and t
// + 4. With kPadding more floats to a row than a multiple of 32 the lanes of a fragment then meet different
// banks, along rows and along columns.
inline constexpr int kPadding = 8;
__device__ __forceinline__ constexpr int place_of(int row) { return row / 8 * 8 + row % 2 * 4 + row % 8 / 2; }
__device__ __forceinline__ constexpr int row_at(int place) {
  return place / 8 * 8 + place % 4 * 2 + place % 8 / 4;
}

// Of a matrix in fp32 with its rows at place_of(row), the transpose of rows [row, row + 8), columns g and g +
// 8 behind `column`.
template <Tf32 kind>
__device__ __forceinline__ Left<kind> left_columns(const float* matrix, int stride, int row, int column) {
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const float* const first = matrix + (row + pair) * stride + column + group;
  return left_of<kind>({first[0], first[4 * stride], first[8], first[4 * stride + 8]});
}

// As [k, n], of kept elements: the transpose of rows [row, row + 8), columns [column, column + 8).
template <Tf32 kind>
__device__ __forceinline__ Right<kind> right_rows(const float* matrix, int stride, int row, int column) {
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const auto two = *reinterpret_cast<const float2*>(matrix + (row + group) * stride + column + 2 * pair);
  Right<kind> right;
  right.set_kept(0, two.x), right.set_kept(1, two.y);
  return right;
}

// As [k, n], of kept elements with their rows at place_of(row): rows [row, row + 8), columns [column, column
// + 8).
template <Tf32 kind>
__device__ __forceinline__ Right<kind> right_columns(const float* matrix, int stride, int row, int column) {
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const float* const first = matrix + (row + pair) * stride + column + group;
  Right<kind> right;
  right.set_kept(0, first[0]), right.set_kept(1, first[4 * stride]);
  return right;
}

__device__ __forceinline__ void multiply(float (&d)[4], const Left<Tf32::split>& left,
                                         const Right<Tf32::split>& right) {
  multiply_tf32(d, left.lo, right.hi);
  multiply_tf32(d, left.hi, right.lo);
  multiply_tf32(d, left.hi, right.hi);
}

__device__ __forceinline__ void multiply(float (&d)[4], const Left<Tf32::rounded>& left,
                                         const Right<Tf32::rounded>& right) {
  multiply_tf32(d, left.hi, right.hi);
}

// Host side: f(std::integral_constant of what the accuracy needs that a model's operands of this type have).
template <class Function>
void with_tf32(DType operand, Function&& f) {
  if (operand == DType::f32) return f(std::integral_constant<Tf32, Tf32::split>());
  RR_CHECK(operand == DType::bf16 || operand == DType::f16, "recurrences of a model of type ",
           name_of(operand));
  f(std::integral_constant<Tf32, Tf32::rounded>());
}

}  // namespace riverrun::kernels::cuda
