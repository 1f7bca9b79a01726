#include "text/utf8.h"

#include <cstring>

namespace riverrun::text {
namespace {

// What starts at `at`: a well-formed character, or else the longest part of one that ends before the trouble.
struct Sequence {
  Index bytes;  // at least 1
  bool well_formed;
};

Sequence sequence_at(const unsigned char* at, Index left) {
  const unsigned first = at[0];
  if (first < 0x80) return {1, true};
  if (first < 0xc2 || first > 0xf4) return {1, false};
  const Index size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  // Overlong forms, surrogates and too large values all show in the range of the second byte.
  const unsigned least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (left < 2 || at[1] < least || at[1] > most) return {1, false};
  for (Index i = 2; i < size; ++i) {
    if (i >= left || (at[i] & 0xc0) != 0x80) return {i, false};
  }
  return {size, true};
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
    const Sequence sequence = sequence_at(data + at, size - at);
    if (!sequence.well_formed) return at;
    at += sequence.bytes;
  }
  return -1;
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Index bad = find_invalid_utf8(bytes);
    const auto good = bad < 0 ? bytes.size() : static_cast<std::size_t>(bad);
    out.append(bytes, 0, good);
    bytes.remove_prefix(good);
    if (bytes.empty()) break;
    const auto* const data = reinterpret_cast<const unsigned char*>(bytes.data());
    append_utf8(0xfffd, out);
    bytes.remove_prefix(static_cast<std::size_t>(sequence_at(data, static_cast<Index>(bytes.size())).bytes));
  }
  return out;
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
