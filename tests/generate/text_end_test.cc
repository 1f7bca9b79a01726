// When a text ends and what is shown of it: whole characters only, no part of a stop text, nothing taken back.

#include "generate/text_end.h"

#include <gtest/gtest.h>

namespace riverrun::generate {
namespace {

// Feeds pieces until the end, and checks on the way that what is shown only grows.
TextEnd feed(const EndRules& rules, const std::vector<std::string>& pieces) {
  TextEnd end(rules);
  std::string shown;
  for (std::size_t i = 0; i < pieces.size() && end.reason() == StopReason::none; ++i) {
    end.add(static_cast<TokenId>(i + 10), pieces[i]);
    EXPECT_TRUE(end.text().starts_with(shown)) << shown << " became " << end.text();
    shown = end.text();
  }
  return end;
}

TEST(TextEnd, StopTokenIsNoPartOfTheText) {
  const EndRules rules{.stop_tokens = {0, 12}, .stop_texts = {}};
  const TextEnd end = feed(rules, {"a", "b", "c", "d"});
  EXPECT_EQ(end.reason(), StopReason::stop_token);
  EXPECT_EQ(end.text(), "ab");
  EXPECT_EQ(end.tokens(), (std::vector<TokenId>{10, 11}));
}

TEST(TextEnd, StopTextMaySpanTokensAndEndsTheTextWhereItBegins) {
  const EndRules rules{.stop_tokens = {}, .stop_texts = {"\n\nUser:", "##"}};
  const TextEnd end = feed(rules, {"one\n", "\n", "\nUs", "er: more", "never"});
  EXPECT_EQ(end.reason(), StopReason::stop_text);
  EXPECT_EQ(end.text(), "one\n");
  EXPECT_EQ(end.tokens().size(), 4u);
}

TEST(TextEnd, FirstOfSeveralStopTextsCounts) {
  const EndRules rules{.stop_tokens = {}, .stop_texts = {"cd", "bc"}};
  EXPECT_EQ(feed(rules, {"abcd"}).text(), "a");
}

TEST(TextEnd, BeginningOfAStopTextIsHeldBackUntilItIsNone) {
  const EndRules rules{.stop_tokens = {}, .stop_texts = {"\n\n"}};
  TextEnd end(rules);
  end.add(1, "a\n");
  EXPECT_EQ(end.text(), "a");
  end.add(2, "b");
  EXPECT_EQ(end.text(), "a\nb");
}

TEST(TextEnd, CharactersAreShownWhole) {
  const EndRules rules{.stop_tokens = {}, .stop_texts = {}, .max_tokens = 4};
  const std::string text = "\xe6\x9c\xac\xf0\x9f\x8c\x8a";  // a character of three bytes and one of four
  TextEnd end(rules);
  end.add(1, text.substr(0, 2));
  EXPECT_EQ(end.text(), "");
  end.add(2, text.substr(2, 3));
  EXPECT_EQ(end.text(), text.substr(0, 3));
  end.add(3, text.substr(5, 1));
  EXPECT_EQ(end.text(), text.substr(0, 3));
  end.add(4, text.substr(6, 1));
  EXPECT_EQ(end.text(), text);
}

TEST(TextEnd, CharacterCutOffAtTheEndIsLeftOut) {
  const EndRules rules{.stop_tokens = {}, .stop_texts = {}, .max_tokens = 2};
  const TextEnd end = feed(rules, {"a", "b\xe6\x9c"});
  EXPECT_EQ(end.reason(), StopReason::length);
  EXPECT_EQ(end.text(), "ab");
}

TEST(TextEnd, BytesThatAreNotUtf8AreNotHeldForEver) {
  const EndRules rules{.stop_tokens = {}, .stop_texts = {}};
  TextEnd end(rules);
  end.add(1, "\x80\x80\x80\x80");
  EXPECT_EQ(end.text().size(), 4u);
}

TEST(TextEnd, EndsAtItsLengthInTokensAndInBytes) {
  const EndRules tokens{.stop_tokens = {}, .stop_texts = {}, .max_tokens = 2};
  EXPECT_EQ(feed(tokens, {"a", "b", "c"}).text(), "ab");
  EXPECT_EQ(feed(tokens, {"a", "b", "c"}).reason(), StopReason::length);
  const EndRules bytes{.stop_tokens = {}, .stop_texts = {}, .max_tokens = 9, .max_bytes = 4};
  const TextEnd end = feed(bytes, {"ab", "cd", "e"});
  EXPECT_EQ(end.text(), "abcd");
  EXPECT_EQ(end.reason(), StopReason::length);
  EXPECT_EQ(end.tokens().size(), 2u);
}

}  // namespace
}  // namespace riverrun::generate
