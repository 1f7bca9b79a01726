// What kernels/cuda/device.cuh gives by PTX on a GPU. Numbers of 16 bits are converted as the CPU backend
// does it; a product of the tensor cores sums as those of compute capability 8.0 do, which cut off instead of rounding.
#pragma once

#include <algorithm>
#include <bit>

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

inline int exponent_of(double value) { return static_cast<int>(std::bit_cast<std::uint64_t>(value) >> 52 & 0x7ff) - 1023; }

// Towards zero, to a multiple of 2^last. Infinity and the quiet NaN stay what they are.
inline double cut_off(double value, int last) {
  const int bits = last + 52 - exponent_of(value);
  if (bits <= 0) return value;
  return bits > 52 ? 0.0 : std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) >> bits << bits);
}

// The sum so far and kCount exact products, as tensor cores were measured to add them (Fasi, Higham, Mikaitis, Pranesh: Numerical
// behavior of NVIDIA tensor cores, PeerJ Computer Science 7:e330, 2021): all are shifted to the largest exponent and cut off one bit
// behind fp32's last, and so is their sum behind its own last.
template <std::size_t kCount>
double add_products(double sum, const double (&products)[kCount]) {
  int exponent = exponent_of(sum);
  for (const double product : products) exponent = std::max(exponent, exponent_of(product));
  const int last = exponent - 24;
  double total = cut_off(sum, last);
  for (const double product : products) total += cut_off(product, last);
  return cut_off(total, exponent_of(total) - 23);
}

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
  constexpr unsigned kAtOnce = K / 2;  // products that are added at once: registers 0 and 1 of a hold the first K / 2 columns of rows
                                       // g and g + 8, registers 2 and 3 the others
  double sums[4] = {d[0], d[1], d[2], d[3]};
  for (unsigned half = 0; half < 2; ++half) {
    double products[4][kAtOnce];
    for (unsigned k = 0; k < kAtOnce; ++k) {
      const unsigned holder = k / packed, i = k % packed;
      const double upper = element(of(group * 4 + holder)->a[2 * half], i);
      const double lower = element(of(group * 4 + holder)->a[2 * half + 1], i);
      for (unsigned column = 0; column < 2; ++column) {
        const double right = element(of((2 * pair + column) * 4 + holder)->b[half], i);
        products[column][k] = upper * right, products[2 + column][k] = lower * right;
      }
    }
    for (int i = 0; i < 4; ++i) sums[i] = add_products(sums[i], products[i]);
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

// Two numbers of fp16 to a register.
inline std::uint16_t half_of(std::uint32_t pair, unsigned i) { return static_cast<std::uint16_t>(pair >> (16 * i)); }
template <class Function>
std::uint32_t for_both(Function&& f) {
  return std::uint32_t{float_to_f16(f(0u))} | std::uint32_t{float_to_f16(f(1u))} << 16;
}
inline std::uint32_t pack_f16(float first, float second) {
  return for_both([&](unsigned i) { return i == 0 ? first : second; });
}
inline std::uint32_t multiply_pairs(std::uint32_t x, std::uint32_t y) {
  return for_both([&](unsigned i) { return f16_to_float(half_of(x, i)) * f16_to_float(half_of(y, i)); });
}
inline std::uint32_t larger_of_pairs(std::uint32_t x, std::uint32_t y) {
  return for_both([&](unsigned i) { return std::fmax(f16_to_float(half_of(x, i)), f16_to_float(half_of(y, i))); });
}

// ldmatrix with .x4, and .trans: `row` is this lane's, 16-byte aligned.
inline void load_squares(std::uint32_t (&registers)[4], const void* row, bool transposed) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) broken("a row of a matrix that is not aligned");
  const std::byte* all = exchange(&row, sizeof(row));
  const unsigned lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4;
  const auto element = [all](unsigned square, unsigned r, unsigned c) {
    const std::byte* from;
    std::memcpy(&from, all + (8 * square + r) * kExchangeBytes, sizeof(from));
    std::uint16_t bits;
    std::memcpy(&bits, from + 2 * c, sizeof(bits));
    return std::uint32_t{bits};
  };
  for (unsigned i = 0; i < 4; ++i) {
    registers[i] = transposed ? element(i, 2 * pair, group) | element(i, 2 * pair + 1, group) << 16
                              : element(i, group, 2 * pair) | element(i, group, 2 * pair + 1) << 16;
  }
}

}  // namespace riverrun::cuda_emulator
