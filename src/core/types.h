// Index, element types, and conversions between them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace riverrun {

using Index = std::int64_t;    // sizes, positions, counts
using TokenId = std::int32_t;  // a row of the embedding table

inline constexpr Index kHugePage = Index{2} << 20;  // bytes; that of x86-64, and of aarch64 with pages of 4 KiB

enum class DType : std::uint8_t { f64, f32, bf16, f16, i64, i32, i16, i8, u8, boolean };

constexpr Index size_of(DType type) {
  switch (type) {
    case DType::f64: case DType::i64: return 8;
    case DType::f32: case DType::i32: return 4;
    case DType::bf16: case DType::f16: case DType::i16: return 2;
    default: return 1;
  }
}

constexpr const char* name_of(DType type) {
  constexpr const char* names[] = {"fp64", "fp32", "bf16", "fp16", "int64", "int32", "int16", "int8", "uint8", "bool"};
  return names[static_cast<int>(type)];
}

// bf16 is the upper half of an fp32. Rounding is to nearest, ties to even; a NaN stays a NaN.
constexpr float bf16_to_float(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
constexpr std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// IEEE binary16, subnormals included.
float f16_to_float(std::uint16_t bits);
std::uint16_t float_to_f16(float value);  // to nearest, ties to even; overflow gives infinity

// One element of `type` (a floating-point type) at `data`, as fp32.
float load_float(const void* data, DType type, Index at);
void store_float(void* data, DType type, Index at, float value);

}  // namespace riverrun
