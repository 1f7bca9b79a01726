// What kernels/cuda/device.cuh gives by PTX on a GPU. Numbers of 16 bits are converted as the CPU backend
// does it; a product of the tensor cores sums in fp64 and rounds once, so that the order inside it cannot
// matter.
#pragma once

#include "core/types.h"
#include "emulator.h"

namespace riverrun::cuda_emulator {

inline std::uint32_t as_bits(float value) { return std::bit_cast<std::uint32_t>(value); }
inline float as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }

// To 10 bits of fraction, to nearest, ties away from zero.
inline std::uint32_t round_to_tf32(float value) {
  const std::uint32_t bits = as_bits(value);
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}

inline float tf32_value(std::uint32_t bits) { return as_float(bits & 0xffffe000u); }

// d += a b with a [16, K], b [K, 8], d [16, 8], as mma.sync.m16n8kK spreads them over a warp. `element(bits,
// i)` is number i of the packed ones in a register, of which a register holds `packed`.
template <int K, int packed, class Element>
void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Element element) {
  struct Mine {
    std::uint32_t a[4], b[2];
  } mine;
  std::memcpy(mine.a, a, sizeof(a)), std::memcpy(mine.b, b, sizeof(b));
  const std::byte* all = exchange(&mine, sizeof(mine));
  const auto of = [all](unsigned lane) { return reinterpret_cast<const Mine*>(all + lane * kExchangeBytes); };
  const unsigned lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4;
  double sums[4] = {d[0], d[1], d[2], d[3]};
  for (unsigned k = 0; k < K; ++k) {
    // Registers 0 and 1 of a hold the first K / 2 columns of rows g and g + 8, registers 2 and 3 the others.
    const unsigned half = k / (K / 2), at = k % (K / 2), holder = at / packed, i = at % packed;
    const double upper = element(of(group * 4 + holder)->a[2 * half], i);
    const double lower = element(of(group * 4 + holder)->a[2 * half + 1], i);
    for (unsigned column = 0; column < 2; ++column) {
      const double right = element(of((2 * pair + column) * 4 + holder)->b[half], i);
      sums[column] += upper * right, sums[2 + column] += lower * right;
    }
  }
  for (int i = 0; i < 4; ++i) d[i] = static_cast<float>(sums[i]);
}

inline void multiply_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  multiply<8, 1>(d, a, b, [](std::uint32_t bits, unsigned) { return tf32_value(bits); });
}
inline void multiply_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  multiply<16, 2>(d, a, b, [](std::uint32_t bits, unsigned i) {
    return bf16_to_float(static_cast<std::uint16_t>(bits >> (16 * i)));
  });
}
inline void multiply_f16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  multiply<16, 2>(d, a, b, [](std::uint32_t bits, unsigned i) {
    return f16_to_float(static_cast<std::uint16_t>(bits >> (16 * i)));
  });
}

}  // namespace riverrun::cuda_emulator
