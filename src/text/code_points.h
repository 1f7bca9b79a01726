// CodePoints: what the Unicode database says about characters, as far as tokenizers ask.
//
// Classes are those of the ICU library this program runs with (72: Unicode 15.0); a character that a newer
// Unicode assigned is kOther. Normalisation is that of Unicode 9, with any ICU.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace riverrun::text {

class CodePoints {
 public:
  enum Class : unsigned char { kOther, kLetter, kNumber, kSpace };  // \p{L}, \p{N}, White_Space

  // One table for the program, made at the first call (some 20 ms). Error when ICU has no data.
  static const CodePoints& get();

  Class class_of(std::uint32_t code_point) const {
    return static_cast<Class>(flags_[code_point] & kClassMask);
  }

  // Appends the normalisation form C (UAX 15) of `text`, which must be UTF-8. A character later than Unicode
  // 9 stays as and where it is. Time is linear in the text but for the sorting of its longest run of
  // combining marks.
  void append_nfc(std::string_view text, std::string& out) const;
  // Whether append_nfc would have nothing to do; false for some text that is normalised.
  bool is_plainly_nfc(std::string_view text) const;

 private:
  CodePoints();

  static constexpr unsigned char kClassMask = 3;
  // Normalisation never changes it, and nothing before it changes it or is changed by it.
  static constexpr unsigned char kPlain = 4;

  bool is_plain(std::uint32_t code_point) const { return flags_[code_point] & kPlain; }

  std::vector<unsigned char> flags_;  // of every code point
};

}  // namespace riverrun::text
