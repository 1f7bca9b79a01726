#include <algorithm>

#include "core/error.h"
#include "text/byte_trie.h"
#include "text/tokenizer.h"
#include "text/world_vocabulary.h"

namespace riverrun::text {
namespace {

std::vector<ByteTrie::Entry> sorted_entries(const std::vector<std::string>& tokens) {
  std::vector<ByteTrie::Entry> entries;
  for (std::size_t id = 1; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) entries.push_back({tokens[id], static_cast<TokenId>(id)});
  }
  std::ranges::sort(entries, {}, &ByteTrie::Entry::bytes);
  return entries;
}

// Greedy: at each position the longest token that matches there.
class WorldTokenizer final : public Tokenizer {
 public:
  explicit WorldTokenizer(WorldVocabulary vocabulary)
      : tokens_(std::move(vocabulary.tokens)), trie_(sorted_entries(tokens_)) {}

  const char* name() const override { return "rwkv-world"; }
  Index vocab_size() const override { return static_cast<Index>(tokens_.size()); }

  void encode(std::string_view text, std::vector<TokenId>& out) const override {
    constexpr int kBatch = 1024;  // ids gathered on the stack: the vector's bookkeeping stays out of the loop
    TokenId batch[kBatch];
    const auto* at = reinterpret_cast<const unsigned char*>(text.data());
    const auto* const end = at + text.size();
    while (at < end) {
      int count = 0;
      for (; count < kBatch && at < end; ++count) {
        const ByteTrie::Match match = trie_.longest(at, end);
        batch[count] = match.id;
        at = match.end;
      }
      out.insert(out.end(), batch, batch + count);
    }
  }

  std::string decode(std::span<const TokenId> ids) const override {
    std::string bytes;
    for (const TokenId id : ids) {
      if (id == 0) continue;
      RR_CHECK_INPUT(id > 0 && id < vocab_size() && !tokens_[id].empty(), "token id ", id,
                     " has no token in the vocabulary, whose ids go from 1 to ", vocab_size() - 1);
      bytes += tokens_[id];
    }
    return bytes;
  }

 private:
  std::vector<std::string> tokens_;
  ByteTrie trie_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_world_tokenizer(std::string_view file, const std::string& name) {
  return std::make_unique<WorldTokenizer>(parse_world_vocabulary(file, name));
}

std::unique_ptr<Tokenizer> make_gguf_world_tokenizer(std::span<const std::string> tokens, const std::string& name) {
  return std::make_unique<WorldTokenizer>(parse_gguf_vocabulary(tokens, name));
}

}  // namespace riverrun::text
