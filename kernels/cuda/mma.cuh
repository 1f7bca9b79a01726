// Products of the tensor cores, by a whole warp: d += a b, a [16, K] by rows, b [K, 8] by columns, d [16, 8].
// With group g = lane / 4 and pair t = lane % 4, registers hold
//
//   d: (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8, 2t + 1)
//   TF32, K = 8:      a: (g, t) (g + 8, t) (g, t + 4) (g + 8, t + 4);  b: (t, g) (t + 4, g)
//   16 bits, K = 16:  the same with pairs of neighbours 2t, 2t + 1 for t, and 2t + 8, 2t + 9 for t + 4
//
// as PTX defines mma.sync.m16n8k8 and m16n8k16.
#pragma once

#include "kernels/cuda/device.cuh"

namespace riverrun::kernels::cuda {

// Those of a float that a TF32 keeps. PTX leaves open what round_to_tf32 makes of the others; products ignore them.
inline constexpr std::uint32_t kTf32Bits = 0xffffe000u;

#if RIVERRUN_CUDA_EMULATED
using cuda_emulator::multiply_tf32;
using cuda_emulator::round_to_tf32;
#else
// To nearest: one instruction from compute capability 9.0 on, ties to even; before, three, ties away from zero.
__device__ __forceinline__ std::uint32_t round_to_tf32(float value) {
  std::uint32_t rounded;
#if __CUDA_ARCH__ >= 900
  asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
#else
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
#endif
  return rounded;
}

__device__ __forceinline__ void multiply_tf32(float (&d)[4], const std::uint32_t (&a)[4],
                                              const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// Operands of 16 bits, two to a register.
template <class T>
__device__ __forceinline__ void multiply_16(float (&d)[4], const std::uint32_t (&a)[4],
                                            const std::uint32_t (&b)[2]) {
#if RIVERRUN_CUDA_EMULATED
  std::is_same_v<T, Bf16> ? cuda_emulator::multiply_bf16(d, a, b) : cuda_emulator::multiply_f16(d, a, b);
#else
  if constexpr (std::is_same_v<T, Bf16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
#endif
}

}  // namespace riverrun::kernels::cuda
