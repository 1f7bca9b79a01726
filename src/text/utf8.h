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

// Appends a code point below 0x110000 that is no surrogate.
void append_utf8(std::uint32_t code_point, std::string& out);

// Some programs put this before UTF-8 text to say how its bytes are to be read; it is no part of the text.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace riverrun::text
