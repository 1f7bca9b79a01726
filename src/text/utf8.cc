#include "text/utf8.h"

#include <cstring>

namespace riverrun::text {
namespace {

// The bytes of the well-formed character that starts at `at`, or 0.
Index character_bytes(const unsigned char* at, Index left) {
  const unsigned first = at[0];
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const Index size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (left < size) return 0;
  // Overlong forms, surrogates and too large values all show in the range of the second byte.
  const unsigned least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (at[1] < least || at[1] > most) return 0;
  for (Index i = 2; i < size; ++i) {
    if ((at[i] & 0xc0) != 0x80) return 0;
  }
  return size;
}

}  // namespace

Index find_invalid_utf8(std::string_view bytes) {
  const auto* const data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto size = static_cast<Index>(bytes.size());
  for (Index at = 0; at < size;) {
    std::uint64_t word = 0;
    if (at + 8 <= size) {
      std::memcpy(&word, data + at, 8);
      if ((word & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    const Index character = character_bytes(data + at, size - at);
    if (character == 0) return at;
    at += character;
  }
  return -1;
}

void append_utf8(std::uint32_t code_point, std::string& out) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((code_point >> shift) & 0x3f)); };
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xc0 | (code_point >> 6));
    tail(0);
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xe0 | (code_point >> 12));
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | (code_point >> 18));
    tail(12), tail(6), tail(0);
  }
}

}  // namespace riverrun::text
