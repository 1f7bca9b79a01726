// The World tokenizer against its reference: recorded ids, a brute-force search, and round trips.
#include <algorithm>
#include <cstdio>
#include <map>
#include <random>

#include "tests/text/support.h"

#ifdef RIVERRUN_TEST_JSON
#include <nlohmann/json.hpp>
#endif

namespace riverrun::text {
namespace {

// The definition: at each position the longest token that matches.
std::vector<TokenId> encode_slowly(const std::map<std::string, TokenId>& tokens, std::string_view text) {
  std::vector<TokenId> ids;
  while (!text.empty()) {
    auto size = std::min<std::size_t>(text.size(), 128);  // no longer tokens, here and in the World vocabulary
    while (!tokens.contains(std::string(text.substr(0, size)))) --size;
    ids.push_back(tokens.at(std::string(text.substr(0, size))));
    text.remove_prefix(size);
  }
  return ids;
}

std::string random_text(std::mt19937& random, Index size, int letters) {
  std::string text;
  for (Index i = 0; i < size; ++i)
    text += static_cast<char>(letters == 256 ? random() : 'a' + random() % letters);
  return text;
}

// Few letters make deep, crowded tries: prefixes of tokens that are no tokens, and dead ends after long
// matches.
TEST(WorldTokenizer, EqualsBruteForceOnRandomVocabularies) {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    const int letters = 1 + round % 4;
    std::map<std::string, TokenId> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens[std::string(1, static_cast<char>(byte))] = byte + 1;
    std::vector<std::string> words;
    for (int i = 0; i < 300; ++i) {
      const std::string word = random_text(random, 2 + static_cast<Index>(random() % 12), letters);
      if (tokens.emplace(word, 257 + static_cast<TokenId>(words.size())).second) words.push_back(word);
    }
    const auto tokenizer = make_world_tokenizer(small_vocabulary(words), "test");
    EXPECT_EQ(tokenizer->vocab_size(), 257 + static_cast<Index>(words.size()));
    for (Index size = 0; size < 60; ++size) {
      const std::string text = random_text(random, size, letters + 1);
      ASSERT_EQ(encode(*tokenizer, text), encode_slowly(tokens, text)) << text;
    }
    const std::string text = random_text(random, 5000, letters);  // more ids than one batch for some letters
    ASSERT_EQ(encode(*tokenizer, text), encode_slowly(tokens, text));
  }
}

TEST(WorldTokenizer, AppendsToWhatIsThere) {
  const auto tokenizer = make_world_tokenizer(small_vocabulary({"ab"}), "test");
  std::vector<TokenId> ids{7};
  tokenizer->encode("aba", ids);
  tokenizer->encode("", ids);
  EXPECT_EQ(ids, (std::vector<TokenId>{7, 257, 98}));
}

TEST(WorldTokenizer, DecodesIdZeroToNothingAndRefusesIdsWithoutAToken) {
  const auto tokenizer = make_world_tokenizer(small_vocabulary() + "300 'word' 4\n", "test");
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{0, 300, 0, 98, 0}), "worda");
  EXPECT_EQ(tokenizer->decode({}), "");
  EXPECT_EQ(tokenizer->vocab_size(), 301);
  for (const TokenId bad : {-1, 257, 299, 301, 65535, std::numeric_limits<TokenId>::max()}) {
    EXPECT_CONTAINS(message_of<InputError>([&] { tokenizer->decode(std::vector<TokenId>{bad}); }),
                    std::to_string(bad));
  }
}

TEST(WorldTokenizer, RandomBytesComeBack) {
  SKIP_WITHOUT_VOCABULARY();
  const auto tokenizer = load_tokenizer(real_vocabulary());
  std::mt19937 random(2);
  for (const int letters : {256, 26, 3}) {
    const std::string text = random_text(random, 200000, letters);
    EXPECT_EQ(tokenizer->decode(encode(*tokenizer, text)), text);
  }
}

// Texts of real tokens, whole, cut short and with stray bytes between: what makes the longest match hesitate.
TEST(WorldTokenizer, EqualsBruteForceOnTheRealVocabulary) {
  SKIP_WITHOUT_VOCABULARY();
  const auto tokenizer = load_tokenizer(real_vocabulary());
  std::map<std::string, TokenId> tokens;
  std::vector<std::string> words;
  for (TokenId id = 1; id < tokenizer->vocab_size(); ++id) {
    words.push_back(tokenizer->decode(std::vector<TokenId>{id}));
    tokens[words.back()] = id;
  }
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    while (text.size() < 2000) {
      const std::string& word = words[random() % words.size()];
      text += random() % 3 != 0 ? word : word.substr(0, 1 + random() % word.size());
      if (random() % 8 == 0) text += static_cast<char>(random());
    }
    ASSERT_EQ(encode(*tokenizer, text), encode_slowly(tokens, text)) << "round " << round;
  }
}

// Every token encodes to itself, which finds any token the trie has lost or confused.
TEST(WorldTokenizer, EveryTokenIsItsOwnEncoding) {
  SKIP_WITHOUT_VOCABULARY();
  const auto tokenizer = load_tokenizer(real_vocabulary());
  EXPECT_STREQ(tokenizer->name(), "rwkv-world");
  ASSERT_EQ(tokenizer->vocab_size(), 65530);
  for (TokenId id = 1; id < 65530; ++id) {
    const std::vector<TokenId> alone{id};
    ASSERT_EQ(encode(*tokenizer, tokenizer->decode(alone)), alone);
  }
  EXPECT_EQ(encode(*tokenizer, "<|endoftext|>").front(), encode(*tokenizer, "<|").front()) << "ordinary text";
}

#ifdef RIVERRUN_TEST_JSON
// Recorded from the reference implementation (the rwkv Python package).
TEST(WorldTokenizer, EqualsTheReferenceOnRecordedTexts) {
  SKIP_WITHOUT_VOCABULARY();
  const auto tokenizer = load_tokenizer(real_vocabulary());
  std::ifstream in(RIVERRUN_TEST_DATA "/world_tokens.jsonl");
  int texts = 0;
  for (std::string line; std::getline(in, line); ++texts) {
    const auto recorded = nlohmann::json::parse(line);
    const std::string text = recorded.at("text");
    const std::vector<TokenId> ids = recorded.at("tokens");
    EXPECT_EQ(encode(*tokenizer, text), ids) << text;
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
  EXPECT_GT(texts, 20);
}
#endif

// A whole book; the count was obtained with the reference implementation.
TEST(WorldTokenizer, CountsTheKingJamesText) {
  SKIP_WITHOUT_VOCABULARY();
  if (std::system("command -v bible > /dev/null") != 0)
    GTEST_SKIP() << "the program bible (bible-kjv) is not installed";
  const TemporaryFolder scratch;
  ASSERT_EQ(std::system(("echo gen1:1-rev22:21 | bible -f > " + scratch.path("book")).c_str()), 0);
  const std::string text = read_file(scratch.path("book"));
  if (text.size() != 4404582) GTEST_SKIP() << "another edition of the text: " << text.size() << " bytes";
  const auto tokenizer = load_tokenizer(real_vocabulary());
  const std::vector<TokenId> ids = encode(*tokenizer, text);
  EXPECT_EQ(ids.size(), 1179623u);
  EXPECT_EQ(tokenizer->decode(ids), text);
}

// As RWKV converters put the vocabulary into GGUF files: the insides of Python's bytes literals, a name for
// id 0, and names for the rows without a token.
std::vector<std::string> gguf_tokens(const Tokenizer& tokenizer, std::size_t rows) {
  std::vector<std::string> tokens{"<s>"};
  for (TokenId id = 1; id < tokenizer.vocab_size(); ++id) {
    const std::string bytes = tokenizer.decode(std::vector<TokenId>{id});
    // Python quotes with " what holds ' but no ", and escapes the ' of what holds both.
    const bool escapes_quote = bytes.find('"') != std::string::npos;
    std::string text;
    for (const char c : bytes) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(c));
      if (c == '\t')
        text += "\\t";
      else if (c == '\n')
        text += "\\n";
      else if (c == '\r')
        text += "\\r";
      else if (c == '\\')
        text += "\\\\";
      else if (c == '\'' && escapes_quote)
        text += "\\'";
      else if (c < 0x20 || c == 0x7f)
        text += hex;
      else
        text += c;
    }
    tokens.push_back(text);
  }
  while (tokens.size() < rows) tokens.push_back(concat("[PAD", tokens.size(), "]"));
  return tokens;
}

TEST(GgufWorldTokenizer, EqualsTheVocabularyFile) {
  SKIP_WITHOUT_VOCABULARY();
  const auto file = load_tokenizer(real_vocabulary());
  const auto inside = make_gguf_world_tokenizer(gguf_tokens(*file, 65536), "model.gguf");
  EXPECT_STREQ(inside->name(), "rwkv-world");
  ASSERT_EQ(inside->vocab_size(), 65530);
  for (TokenId id = 0; id < 65530; ++id) {
    const std::vector<TokenId> alone{id};
    ASSERT_EQ(inside->decode(alone), file->decode(alone)) << id;
  }
  std::mt19937 random(7);
  for (const std::string& text : {random_text(random, 100000, 256), random_text(random, 100000, 20),
                                  std::string("it's \"quoted\" \\ <s> [PAD65530] [PAD65535]\n")}) {
    EXPECT_EQ(encode(*inside, text), encode(*file, text));
  }
}

TEST(GgufWorldTokenizer, NamesOfRowsWithoutATokenAreOrdinaryText) {
  const auto file = make_world_tokenizer(small_vocabulary({"ab", "[PAD", "<s"}), "file");
  const auto inside = make_gguf_world_tokenizer(gguf_tokens(*file, 263), "model.gguf");
  EXPECT_EQ(inside->vocab_size(), 260);
  for (const std::string text : {"<s>", "[PAD260]", "[PAD262]ab", "it's"}) {
    EXPECT_EQ(encode(*inside, text), encode(*file, text)) << text;
    EXPECT_EQ(inside->decode(encode(*inside, text)), text);
  }
  EXPECT_THROW(inside->decode(std::vector<TokenId>{261}), InputError);
}

TEST(GgufWorldTokenizer, RefusesWhatNoConverterWrites) {
  const auto good = gguf_tokens(*make_world_tokenizer(small_vocabulary({"ab", "cd"}), "file"), 260);
  const auto refusal = [&](std::size_t id, const std::string& text) {
    auto tokens = good;
    tokens[id] = text;
    return message_of<InputError>([&] { make_gguf_world_tokenizer(tokens, "model.gguf"); });
  };
  for (const std::string text :
       {"\\", "\\q", "\\x", "\\x4", "\\xg0", "\\x-1", "\xc3\xa9", "a\nb", "", "\\u0041"}) {
    EXPECT_CONTAINS(refusal(257, text), "model.gguf: the token of id 257");
  }
  EXPECT_CONTAINS(refusal(257, "cd"), "257 and 258 are the same");
  EXPECT_CONTAINS(refusal(98, "xyz"), "byte 97");
  EXPECT_CONTAINS(refusal(98, "[PAD98]"), "byte 97");
  EXPECT_THROW(make_gguf_world_tokenizer({}, "f"), InputError);
}

TEST(LoadTokenizer, KnowsFormatsByContentOnly) {
  const TemporaryFolder scratch;
  EXPECT_STREQ(load_tokenizer(scratch.file("any.name", small_vocabulary()))->name(), "rwkv-world");
  for (const std::string content : {"", "{\"version\": \"1.0\"}", "\x80\x81 1 2", "12", "x 'a' 1\n"}) {
    const std::string path = scratch.file("bad.txt", content);
    EXPECT_CONTAINS(message_of<InputError>([&] { load_tokenizer(path); }), path);
  }
  EXPECT_CONTAINS(message_of<InputError>([&] { load_tokenizer(scratch.path("none")); }), "none");
}

}  // namespace
}  // namespace riverrun::text
