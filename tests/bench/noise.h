// Numbers to multiply when only the time counts.
#pragma once

#include <cstdint>

#include "core/types.h"

namespace riverrun {

// Between -1 and 1 and nowhere alike: a GPU is slower with it than with constants, which change fewer of its bits.
inline float noise(Index at) {
  const auto mixed = static_cast<std::uint32_t>(at) * 2654435761u;
  return static_cast<float>(static_cast<std::int32_t>(mixed ^ mixed >> 15)) * 0x1p-31f;
}

}  // namespace riverrun
