// StopReason: why a generated text ended.
#pragma once

#include <cstdint>

namespace riverrun {

// Stored in files as these numbers. A text that is still being written, or was never begun, has `none`.
enum class StopReason : std::uint8_t { none = 0, stop_token = 1, stop_text = 2, length = 3 };

}  // namespace riverrun
