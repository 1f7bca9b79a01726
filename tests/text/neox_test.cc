// The GPT-NeoX tokenizer against the `tokenizers` package: ids recorded by tests/golden/neox/make.py.
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/text/support.h"
#include "text/bpe.h"

namespace riverrun::text {
namespace {

using Json = nlohmann::json;

const std::string kSmall = RIVERRUN_TEST_DATA "/neox/tokenizer.json";

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

// Calls body(text, recorded line) for each recorded text.
template <class Body>
void for_each_recorded(Body body) {
  std::ifstream in(RIVERRUN_TEST_DATA "/neox/expected.jsonl");
  int texts = 0;
  for (std::string line; std::getline(in, line); ++texts) {
    const Json recorded = Json::parse(line);
    body(recorded.contains("text") ? recorded.at("text").get<std::string>() : from_hex(recorded.at("bytes")),
         recorded);
  }
  EXPECT_GT(texts, 40);
}

TEST(NeoxTokenizer, EqualsThePackageOnRecordedTexts) {
  const auto tokenizer = load_tokenizer(kSmall);
  EXPECT_STREQ(tokenizer->name(), "gpt-neox");
  EXPECT_EQ(tokenizer->vocab_size(), 723);
  for_each_recorded([&](const std::string& text, const Json& recorded) {
    const std::vector<TokenId> ids = recorded.at("tokens");
    EXPECT_EQ(encode(*tokenizer, text), ids) << text;
    EXPECT_EQ(tokenizer->decode(ids), recorded.at("decoded").get<std::string>()) << text;
  });
}

TEST(NeoxTokenizer, EqualsThePackageWithThe20BVocabulary) {
  const char* const named = std::getenv("RIVERRUN_NEOX_TOKENIZER");
  const std::string path = named ? named : RIVERRUN_TEST_DATA "/../../data/20B_tokenizer.json";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << "no 20B_tokenizer.json: set RIVERRUN_NEOX_TOKENIZER or put it into data/";
  const auto tokenizer = load_tokenizer(path);
  EXPECT_EQ(tokenizer->vocab_size(), 50277);
  EXPECT_EQ(encode(*tokenizer, "\n"), std::vector<TokenId>{187});
  EXPECT_EQ(encode(*tokenizer, "\n\n"), std::vector<TokenId>{535});
  for_each_recorded([&](const std::string& text, const Json& recorded) {
    EXPECT_EQ(encode(*tokenizer, text), recorded.at("tokens_20b").get<std::vector<TokenId>>()) << text;
  });
}

TEST(NeoxTokenizer, AppendsAndDecodesTokenByToken) {
  const auto tokenizer = load_tokenizer(kSmall);
  std::vector<TokenId> ids{5};
  tokenizer->encode("a", ids);
  EXPECT_EQ(ids.front(), 5);
  EXPECT_EQ(ids.size(), 2u);
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{0, ids[1], 1, 722, 0}), "a  ")
      << "special tokens have no text";
  // Half a character is bytes that are not UTF-8.
  const auto river = encode(*tokenizer, "\xe6\xb2\xb3");
  EXPECT_GT(river.size(), 1u);
  EXPECT_TRUE(std::string("\xe6\xb2\xb3").starts_with(tokenizer->decode(std::span(river).first(1))));
  for (const TokenId bad : {-1, 723, 1 << 30}) {
    EXPECT_CONTAINS(message_of<InputError>([&] { tokenizer->decode(std::vector<TokenId>{bad}); }),
                    std::to_string(bad));
  }
}

TEST(NeoxTokenizer, TakesAnyBytes) {
  const auto tokenizer = load_tokenizer(kSmall);
  std::mt19937 random(4);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (Index i = static_cast<Index>(random() % 100); i > 0; --i) text += static_cast<char>(random());
    const auto ids = encode(*tokenizer, text);
    // What comes back is settled: it is UTF-8 and encodes to itself.
    const std::string decoded = tokenizer->decode(ids);
    EXPECT_EQ(tokenizer->decode(encode(*tokenizer, decoded)), decoded);
    EXPECT_EQ(ids.empty(), text.empty());
  }
}

// Each of these takes minutes to days when some step is quadratic.
TEST(NeoxTokenizer, LongRunsTakeLinearTime) {
  const auto tokenizer = load_tokenizer(kSmall);
  constexpr int kMillion = 1000000;
  std::vector<std::string> texts;
  for (const char* const unit :
       {"a", "th", " ", "\n", "=", "\xcc\x81", "<|endoftext|", "\xff", " \xcc\x81"}) {
    std::string& text = texts.emplace_back();
    while (text.size() < kMillion) text += unit;
  }
  std::string marks = "a";  // each pair in the wrong order
  while (marks.size() < kMillion) marks += "\xcc\x81\xcc\xa3";
  texts.push_back(marks);
  for (const std::string& text : texts) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(encode(*tokenizer, text).empty());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << text.substr(0, 12);
  }
}

// The definition: merge the pair of the lowest rank, the leftmost of several, until there is none.
std::vector<TokenId> merge_slowly(std::vector<TokenId> ids, const std::vector<Bpe::Merge>& merges) {
  for (;;) {
    std::size_t best = merges.size(), place = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      for (std::size_t rank = 0; rank < best; ++rank) {
        if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) {
          best = rank;
          place = i;
        }
      }
    }
    if (best == merges.size()) return ids;
    ids[place] = merges[best].merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

TEST(Bpe, EqualsItsDefinitionOnRandomMerges) {
  std::mt19937 random(5);
  std::array<TokenId, 256> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes[static_cast<std::size_t>(byte)] = byte;
  for (int round = 0; round < 60; ++round) {
    std::vector<Bpe::Merge> merges;
    std::map<std::pair<TokenId, TokenId>, int> seen;
    std::vector<TokenId> known{'a', 'b', 'c'};
    for (TokenId next = 256; next < 256 + 40; ++next) {
      const TokenId left = known[random() % known.size()], right = known[random() % known.size()];
      if (!seen.emplace(std::pair(left, right), 0).second) continue;
      merges.push_back({left, right, next});
      known.push_back(next);
    }
    std::ranges::shuffle(merges, random);  // a token's own merge may rank before those of its parts
    const Bpe bpe(bytes, merges);
    Bpe::Workspace workspace;
    for (int size = 0; size < 40; ++size) {
      std::string word;
      for (int i = 0; i < size; ++i) word += static_cast<char>('a' + random() % 3);
      std::vector<TokenId> ids;
      bpe.encode(word, workspace, ids);
      ASSERT_EQ(ids, merge_slowly({word.begin(), word.end()}, merges)) << word;
    }
  }
}

}  // namespace
}  // namespace riverrun::text
