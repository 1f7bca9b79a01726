// The 8-bit form of a row of numbers: symmetric, one scale per row.
//
//   q[i] = round(x[i] * inverse) to nearest, ties to even;  x[i] is about q[i] * scale
//
// with scale = most / 127 and inverse = 127 / most in fp32, most = max_i |x[i]|. So |q| <= 127, and what is lost is at
// most half a scale per number.
#pragma once

#include <cmath>
#include <limits>

#include "core/types.h"

namespace riverrun::kernels {

struct Int8Scale {
  float scale, inverse;
};

// Numbers below this are 0 to a row: the inverse of a smaller scale could overflow.
inline constexpr float kLeastInt8Magnitude = 0x1p-100f;

// `most`: the largest magnitude of a row; a NaN if there is one in it. A row that is not finite has scale NaN and
// zeros for integers, so that it spoils every product and nothing else.
inline Int8Scale int8_scale(float most) {
  if (!std::isfinite(most)) return {std::numeric_limits<float>::quiet_NaN(), 0.0f};
  if (most < kLeastInt8Magnitude) return {0.0f, 0.0f};
  return {most / 127.0f, 127.0f / most};
}

}  // namespace riverrun::kernels
