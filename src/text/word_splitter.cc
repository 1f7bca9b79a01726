#include "text/word_splitter.h"

namespace riverrun::text {
namespace {

// The bytes of the English ending that `text` starts with ('s, 't, 're, ...), or 0. Lower case only, as the
// pattern has it.
std::size_t ending_bytes(std::string_view text) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  switch (text[1]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return text.size() > 2 && text[2] == 'e' ? 3 : 0;
    case 'l':
      return text.size() > 2 && text[2] == 'l' ? 3 : 0;
    default:
      return 0;
  }
}

}  // namespace

WordSplitter::WordSplitter(const CodePoints& code_points) : code_points_(code_points) {
  for (std::uint32_t c = 0; c < 128; ++c) ascii_[c] = code_points_.class_of(c);
}

std::size_t WordSplitter::run_end(std::string_view text, std::size_t at, Class wanted,
                                  std::size_t& last) const {
  while (at < text.size()) {
    std::size_t next = at;
    if (next_class(text, next) != wanted) break;
    last = at;
    at = next;
  }
  return at;
}

std::size_t WordSplitter::word_end(std::string_view text, std::size_t at) const {
  if (const std::size_t ending = ending_bytes(text.substr(at))) return at + ending;
  std::size_t last = at, next = at;
  Class kind = next_class(text, next);
  if (text[at] == ' ' && next < text.size()) {
    std::size_t after = next;
    const Class following = next_class(text, after);
    if (following != CodePoints::kSpace) {
      kind = following;
      next = after;
    }
  }
  const std::size_t end = run_end(text, next, kind, last);
  if (kind != CodePoints::kSpace || end == text.size()) return end;
  // White space before a word leaves its last character to it, unless that is all there is.
  return last > at ? last : end;
}

}  // namespace riverrun::text
