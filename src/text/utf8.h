// UTF-8: checking and writing.
#pragma once

#include <string>
#include <string_view>

#include "core/types.h"

namespace riverrun::text {

// The offset of the first byte that does not belong to well-formed UTF-8 (Unicode 15, table 3-7: no
// surrogates, no overlong forms, nothing above U+10FFFF), or -1 when all is well. A character cut off counts
// from its first byte.
Index find_invalid_utf8(std::string_view bytes);

// The code point at `at`, which is moved past it. `text` must be well-formed and `at` the start of a
// character.
inline std::uint32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const std::uint32_t first = byte(0);
  if (first < 0x80) {
    at += 1;
    return first;
  }
  if (first < 0xe0) {
    const std::uint32_t value = (first & 0x1f) << 6 | (byte(1) & 0x3fu);
    at += 2;
    return value;
  }
  if (first < 0xf0) {
    const std::uint32_t value = (first & 0x0f) << 12 | (byte(1) & 0x3fu) << 6 | (byte(2) & 0x3fu);
    at += 3;
    return value;
  }
  const std::uint32_t value =
      (first & 0x07) << 18 | (byte(1) & 0x3fu) << 12 | (byte(2) & 0x3fu) << 6 | (byte(3) & 0x3fu);
  at += 4;
  return value;
}

// `bytes` with U+FFFD in place of what is not UTF-8: one for each maximal part of an ill-formed sequence
// (Unicode 15, section 3.9), as decoders of browsers and of Python put it.
std::string replace_invalid_utf8(std::string_view bytes);

// Appends a code point below 0x110000 that is no surrogate.
void append_utf8(std::uint32_t code_point, std::string& out);

// Some programs put this before UTF-8 text to say how its bytes are to be read; it is no part of the text.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace riverrun::text
