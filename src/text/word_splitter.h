// WordSplitter: cuts text into the words that byte-level BPE works on, as the pattern of GPT-2 and GPT-NeoX
// does:
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// At each place the first alternative that matches is taken. So a word carries the one space before it, and
// of a run of white space before a word all but the last character are a word of their own.
#pragma once

#include <string_view>

#include "text/code_points.h"
#include "text/utf8.h"

namespace riverrun::text {

class WordSplitter {
 public:
  explicit WordSplitter(const CodePoints& code_points);

  // The end of the word that starts at `at`, which is inside `text`. `text` is UTF-8 and ends where the
  // pattern is to see the end of the text. Time: linear in the word and the character after it.
  std::size_t word_end(std::string_view text, std::size_t at) const;

 private:
  using Class = CodePoints::Class;

  // The class of the character at `at`, which is moved past it.
  Class next_class(std::string_view text, std::size_t& at) const {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) [[likely]] {
      ++at;
      return ascii_[byte];
    }
    return code_points_.class_of(next_code_point(text, at));
  }

  // The end of the run of characters of `wanted` from `at` on; `last` is where the last of them starts.
  std::size_t run_end(std::string_view text, std::size_t at, Class wanted, std::size_t& last) const;

  const CodePoints& code_points_;
  Class ascii_[128];
};

}  // namespace riverrun::text
