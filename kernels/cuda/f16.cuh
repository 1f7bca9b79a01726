// Matrices of fp16 in shared memory as operands of the tensor cores (mma.cuh): sixteen rows and columns at a time, four squares of
// eight, fetched by one instruction. Rows are 16-byte aligned; eight of them, one below the other, should meet different banks.
#pragma once

#include "kernels/cuda/mma.cuh"

namespace riverrun::kernels::cuda {

// Two numbers to nearest, ties to even: the first in the lower half.
__device__ __forceinline__ std::uint32_t pack_f16(float first, float second) {
#if RIVERRUN_CUDA_EMULATED
  return cuda_emulator::pack_f16(first, second);
#else
  std::uint32_t packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(second), "f"(first));
  return packed;
#endif
}

// Numbers packed in a std::uint32_t or a uint4; `to` is aligned like it.
template <class Packed>
__device__ __forceinline__ void store_packed(F16* to, const Packed& packed) {
#if RIVERRUN_CUDA_EMULATED
  std::memcpy(to, &packed, sizeof(packed));
#else
  *reinterpret_cast<Packed*>(to) = packed;
#endif
}

// Both halves times both halves, rounded.
__device__ __forceinline__ std::uint32_t multiply_pairs(std::uint32_t x, std::uint32_t y) {
#if RIVERRUN_CUDA_EMULATED
  return cuda_emulator::multiply_pairs(x, y);
#else
  std::uint32_t product;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(product) : "r"(x), "r"(y));
  return product;
#endif
}

// The larger of both halves, of which a NaN is none.
__device__ __forceinline__ std::uint32_t larger_of_pairs(std::uint32_t x, std::uint32_t y) {
#if RIVERRUN_CUDA_EMULATED
  return cuda_emulator::larger_of_pairs(x, y);
#else
  std::uint32_t larger;
  asm("max.f16x2 %0, %1, %2;" : "=r"(larger) : "r"(x), "r"(y));
  return larger;
#endif
}

// Four squares of 8 x 8. Lane 8 i + j gives the address of row j of square i; register i then holds of square i, or of its
// transpose, (g, 2t) and (g, 2t + 1).
template <bool transposed>
__device__ __forceinline__ void load_squares(std::uint32_t (&registers)[4], const F16* row) {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::load_squares(registers, row, transposed);
#else
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3]) : "r"(at) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3]) : "r"(at) : "memory");
  }
#endif
}

struct Left16 {
  std::uint32_t of[4];  // 16 x 16
};
struct Right16 {
  std::uint32_t of[2][2];  // 16 x 16, by columns [0, 8) and [8, 16)
};

// Of a matrix with rows kStride numbers apart, from `corner` on.
template <int kStride>
struct Squares {
  // Row by row: squares are (upper, left), (lower, left), (upper, right), (lower, right).
  __device__ __forceinline__ static Left16 left(const F16* corner) {
    const int lane = threadIdx.x % kWarp;
    Left16 operand;
    load_squares<false>(operand.of, corner + lane % 16 * kStride + lane / 16 * 8);
    return operand;
  }
  // The transpose of [k, row].
  __device__ __forceinline__ static Left16 left_of_columns(const F16* corner) {
    const int lane = threadIdx.x % kWarp;
    Left16 operand;
    load_squares<true>(operand.of, corner + (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * 8);
    return operand;
  }
  // As [k, column]: the transpose of [column, k].
  __device__ __forceinline__ static Right16 right_of_rows(const F16* corner) {
    const int lane = threadIdx.x % kWarp;
    std::uint32_t of[4];
    load_squares<false>(of, corner + (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * 8);
    return {{{of[0], of[1]}, {of[2], of[3]}}};
  }
  __device__ __forceinline__ static Right16 right(const F16* corner) {
    const int lane = threadIdx.x % kWarp;
    std::uint32_t of[4];
    load_squares<true>(of, corner + lane % 16 * kStride + lane / 16 * 8);
    return {{{of[0], of[1]}, {of[2], of[3]}}};
  }
};

// Two results [16, 8], side by side, as the left operand of the next product.
__device__ __forceinline__ Left16 left_of_results(const float (&d)[2][4]) {
  return {{pack_f16(d[0][0], d[0][1]), pack_f16(d[0][2], d[0][3]), pack_f16(d[1][0], d[1][1]), pack_f16(d[1][2], d[1][3])}};
}

__device__ __forceinline__ void multiply(float (&d)[2][4], const Left16& left, const Right16& right) {
#pragma unroll
  for (int i = 0; i < 2; ++i) multiply_16<F16>(d[i], left.of, right.of[i]);
}

}  // namespace riverrun::kernels::cuda
