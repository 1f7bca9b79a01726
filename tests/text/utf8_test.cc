#include "text/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace riverrun::text {
namespace {

// Every code point is accepted in its one right form, wherever it lies relative to the 8-byte steps of the
// scan.
TEST(Utf8, EveryCodePointIsValid) {
  std::string all;
  for (std::uint32_t point = 0; point < 0x110000; ++point) {
    if (point < 0xd800 || point > 0xdfff) append_utf8(point, all);
  }
  EXPECT_EQ(all.size(), 128u + 2 * 1920 + 3 * (63488 - 2048) + 4 * 1048576);
  for (int shift = 0; shift < 8; ++shift) EXPECT_EQ(find_invalid_utf8(std::string(shift, 'a') + all), -1);
}

// Table 3-7 of the Unicode standard, from its forbidden side.
TEST(Utf8, IllFormedBytesAreFoundAtTheirOffset) {
  const std::string bad[] = {"\x80",
                             "\xbf",
                             "\xc0\xaf",
                             "\xc1\xbf",
                             "\xc3",
                             "\xc3(",
                             "\xe0\x9f\xbf",
                             "\xe2\x82",
                             "\xe2(\xa1",
                             "\xed\xa0\x80",
                             "\xed\xbf\xbf",
                             "\xef\xbf",
                             "\xf0\x8f\xbf\xbf",
                             "\xf0\x9f\x98",
                             "\xf4\x90\x80\x80",
                             "\xf5\x80\x80",
                             "\xff",
                             "\xfe",
                             "\xf0\x9f\x98(abcdefgh",
                             "\xf8\x88\x80\x80\x80"};
  for (const std::string& bytes : bad) {
    for (const std::size_t before : {0, 1, 7, 8, 9, 100}) {
      const std::string head(before, 'x');
      EXPECT_EQ(find_invalid_utf8(head + bytes), static_cast<Index>(before));
      EXPECT_EQ(find_invalid_utf8("\xc3\xa9" + head + bytes + "tail"), static_cast<Index>(before) + 2);
    }
  }
}

TEST(Utf8, EmptyAndNulAreValid) {
  EXPECT_EQ(find_invalid_utf8(""), -1);
  EXPECT_EQ(find_invalid_utf8(std::string(20, '\0')), -1);
}

// As Python's bytes.decode("utf-8", "replace") does it.
TEST(ReplaceInvalidUtf8, PutsOneMarkForEachPartOfACharacter) {
  const std::string mark = "\xef\xbf\xbd";
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"plain \xc3\xa9", "plain \xc3\xa9"},
      {"\x80", mark},
      {"a\xff\xfe" "b", "a" + mark + mark + "b"},
      {"\xe2\x82", mark},
      {"\xe2\x82x", mark + "x"},
      {"\xf0\x9f\x91 \xf0\x9f", mark + " " + mark},
      {"\xed\xa0\x80", mark + mark + mark},
      {"\xc0\xaf", mark + mark},
      {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", mark + mark + mark + mark + "A"},
  };
  for (const auto& [bytes, expected] : cases) EXPECT_EQ(replace_invalid_utf8(bytes), expected) << bytes;
}

}  // namespace
}  // namespace riverrun::text
