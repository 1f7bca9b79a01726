// The vocabulary parser: every form the real file uses is read, whatever else is refused with its line.
#include "tests/text/support.h"
#include "text/world_vocabulary.h"

namespace riverrun::text {
namespace {

// The bytes of the one token added as id 300.
std::string token_of(const std::string& literal, Index bytes) {
  const auto vocabulary =
      parse_world_vocabulary(small_vocabulary() + concat("300 ", literal, " ", bytes, "\n"), "test");
  return vocabulary.tokens.at(300);
}

TEST(WorldVocabulary, ReadsEveryFormOfLiteral) {
  EXPECT_EQ(token_of("'ab c  d'", 7), "ab c  d") << "spaces belong to the token";
  EXPECT_EQ(token_of("'  '", 2), "  ");
  EXPECT_EQ(token_of("\"don't\"", 5), "don't");
  EXPECT_EQ(token_of("'say \"so\"'", 8), "say \"so\"");
  EXPECT_EQ(token_of("'\\n\\t\\r\\\\\\'\\\"'", 6), "\n\t\r\\'\"");
  EXPECT_EQ(token_of("'\\x80'", 2), "\xc2\x80") << "in a str \\x80 is a code point";
  EXPECT_EQ(token_of("b'\\x80\\xff'", 2), "\x80\xff") << "in bytes it is a byte";
  EXPECT_EQ(token_of("b'a b\\n'", 4), "a b\n");
  EXPECT_EQ(token_of("'\\u3000x'", 4), "\xe3\x80\x80x");
  EXPECT_EQ(token_of("'\\U0001f600'", 4), "\xf0\x9f\x98\x80");
  EXPECT_EQ(token_of("'\xe6\x98\xaf'", 3), "\xe6\x98\xaf") << "raw UTF-8";
  EXPECT_EQ(token_of("'\\x00\\x00'", 2), std::string(2, '\0'));
}

TEST(WorldVocabulary, LineEndsDoNotMatter) {
  const std::string plain = small_vocabulary({"one", "two words"});
  std::string crlf;
  for (const char c : plain) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  const auto expected = parse_world_vocabulary(plain, "test").tokens;
  EXPECT_EQ(expected.at(258), "two words");
  EXPECT_EQ(parse_world_vocabulary(crlf, "test").tokens, expected);
  EXPECT_EQ(parse_world_vocabulary(plain.substr(0, plain.size() - 1), "test").tokens, expected);
  EXPECT_EQ(parse_world_vocabulary(crlf.substr(0, crlf.size() - 2), "test").tokens, expected);
}

TEST(WorldVocabulary, RefusesBadLinesByNumber) {
  const std::string bad[] = {"",
                             " ",
                             "300",
                             "300 'a'",
                             "300 'ab' ",
                             "300 'ab' x",
                             "300 'ab' 2 ",
                             "300 'ab' -2",
                             "300 'ab' 3",
                             "300 'ab' 1",
                             "300 'ab' 99999999999999999999",
                             "x 'ab' 2",
                             "-1 'ab' 2",
                             "+300 'ab' 2",
                             "0 'ab' 2",
                             "8388608 'ab' 2",
                             "99999999999999999999 'ab' 2",
                             " 300 'ab' 2",
                             "300 ab 2",
                             "300 'ab\" 2",
                             "300 ' 1",
                             "300 '' 0",
                             "300 'a'b' 3",
                             "300 u'ab' 2",
                             "300 r'ab' 2",
                             "300 'a\\' 2",
                             "300 '\\' 1",
                             "300 '\\q' 1",
                             "300 '\\x4' 1",
                             "300 '\\x4g' 1",
                             "300 '\\x-1' 1",
                             "300 '\\u12' 1",
                             "300 '\\ud800' 3",
                             "300 '\\U00110000' 4",
                             "300 b'\\u0041' 1",
                             "300 b'\xc3\xa9' 2",
                             "300 '\xff\xfe' 2",
                             "300 '\xed\xa0\x80' 3",
                             "300 '\\101' 1",
                             "300 '\\N{SPACE}' 1",
                             "1 'ab' 2",
                             "300 'a' 1",
                             "300 bb'ab' 2",
                             "300 b 1",
                             "300\t'ab' 2"};
  for (const std::string& line : bad) {
    const std::string file = small_vocabulary() + line + "\n" + "400 'later' 5\n";
    EXPECT_CONTAINS(message_of<InputError>([&] { parse_world_vocabulary(file, "the file"); }),
                    "the file line 257:");
  }
}

TEST(WorldVocabulary, RefusesDuplicatesNamingBothLines) {
  const std::string same_token = small_vocabulary({"ab", "cd"}) + "400 'ab' 2\n";
  EXPECT_CONTAINS(message_of<InputError>([&] { parse_world_vocabulary(same_token, "f"); }),
                  "that of line 257");
  const std::string same_id = small_vocabulary({"ab"}) + "257 'cd' 2\n";
  EXPECT_CONTAINS(message_of<InputError>([&] { parse_world_vocabulary(same_id, "f"); }),
                  "id 257 was given before");
}

TEST(WorldVocabulary, RefusesAFileThatCannotEncodeEverything) {
  std::string file = small_vocabulary();
  file.erase(file.find("98 '"), file.find("99 '") - file.find("98 '"));
  EXPECT_CONTAINS(message_of<InputError>([&] { parse_world_vocabulary(file, "f"); }), "byte 97");
  EXPECT_CONTAINS(message_of<InputError>([&] { parse_world_vocabulary("", "f"); }), "empty");
}

TEST(WorldVocabulary, SurvivesDamage) {
  const std::string good = small_vocabulary({"ab", "abc", "\\x80", "two words"});
  const auto encode_with = [](const auto& file) { return encode(*make_world_tokenizer(file, "f"), "abcd"); };
  EXPECT_GT(refused_of_300_damaged(good, 2, 3, encode_with), 250);
}

}  // namespace
}  // namespace riverrun::text
