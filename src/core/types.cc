#include "core/types.h"

#include <cmath>

#include "core/error.h"

namespace riverrun {

float f16_to_float(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1f;
  const int fraction = bits & 0x3ff;
  const float sign = (bits & 0x8000) ? -1.0f : 1.0f;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  if (exponent == 31) {
    return std::bit_cast<float>((std::uint32_t{bits} & 0x8000u) << 16 | 0x7f800000u | std::uint32_t(fraction) << 13);
  }
  return sign * std::ldexp(static_cast<float>(fraction | 0x400), exponent - 25);
}

std::uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to 65536 or above
  if (magnitude < 0x38800000u) {                        // below 2^-14: a subnormal, counted in steps of 2^-24
    const float steps = std::ldexp(std::bit_cast<float>(magnitude), 24);
    return sign | static_cast<std::uint16_t>(std::nearbyint(steps));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return sign | static_cast<std::uint16_t>((rounded - 0x38000000u) >> 13);
}

float load_float(const void* data, DType type, Index at) {
  switch (type) {
    case DType::f64: return static_cast<float>(static_cast<const double*>(data)[at]);
    case DType::f32: return static_cast<const float*>(data)[at];
    case DType::bf16: return bf16_to_float(static_cast<const std::uint16_t*>(data)[at]);
    case DType::f16: return f16_to_float(static_cast<const std::uint16_t*>(data)[at]);
    default: RR_CHECK(false, "element type ", name_of(type), " is no floating-point type"); return 0;
  }
}

void store_float(void* data, DType type, Index at, float value) {
  switch (type) {
    case DType::f64: static_cast<double*>(data)[at] = value; break;
    case DType::f32: static_cast<float*>(data)[at] = value; break;
    case DType::bf16: static_cast<std::uint16_t*>(data)[at] = float_to_bf16(value); break;
    case DType::f16: static_cast<std::uint16_t*>(data)[at] = float_to_f16(value); break;
    default: RR_CHECK(false, "element type ", name_of(type), " is no floating-point type");
  }
}

}  // namespace riverrun
