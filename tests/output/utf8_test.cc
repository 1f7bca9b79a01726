#include "output/utf8.h"

#include <gtest/gtest.h>

namespace riverrun::output {
namespace {

TEST(Utf8, ValidTextStaysAsItIs) {
  const std::string text = "plain Füße 日本 \xf0\x9f\x8c\x8a \xef\xbf\xbf \xf4\x8f\xbf\xbf\n\t";
  EXPECT_EQ(valid_utf8(text), text);
  EXPECT_EQ(valid_utf8(""), "");
}

TEST(Utf8, EveryBadByteBecomesOneReplacementCharacter) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(valid_utf8("a\xff"
                       "b"),
            "a" + bad + "b");
  EXPECT_EQ(valid_utf8(std::string("a\0b", 3)), "a" + bad + "b");
  EXPECT_EQ(valid_utf8("\xc3"), bad);                                // cut off
  EXPECT_EQ(valid_utf8("\xc3("), bad + "(");                         // wrong second byte
  EXPECT_EQ(valid_utf8("\xc0\xaf"), bad + bad);                      // overlong '/'
  EXPECT_EQ(valid_utf8("\xe0\x80\xaf"), bad + bad + bad);            // overlong
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80"), bad + bad + bad + bad);  // above U+10FFFF
  EXPECT_EQ(valid_utf8("\x80"), bad);
}

TEST(Utf8, PrefixNeverEndsInsideACharacter) {
  const std::string text = "aü日\xf0\x9f\x8c\x8a";  // 1 + 2 + 3 + 4 bytes
  const std::size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (std::size_t bytes = 0; bytes < std::size(expected); ++bytes) {
    EXPECT_EQ(utf8_prefix(text, bytes), text.substr(0, expected[bytes])) << bytes;
  }
}

}  // namespace
}  // namespace riverrun::output
