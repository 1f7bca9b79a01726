// The tokenizer of GPT-NeoX 20B, which RWKV-4 Pile and Raven models use: normalisation form C, words,
// byte-level BPE, and tokens that are looked for in the text beforehand.

#include <algorithm>

#include "core/error.h"
#include "text/byte_trie.h"
#include "text/neox_file.h"
#include "text/tokenizer.h"
#include "text/utf8.h"
#include "text/word_splitter.h"

namespace riverrun::text {
namespace {

// Some byte strings, each with a token. What ByteTrie asks for beyond that, an entry for every byte, has the
// id kNone in it; the others have their token plus kFirst.
class Strings {
 public:
  using Entry = ByteTrie::Entry;

  // `entries` have tokens as ids and need no order. InputError when two have the same bytes.
  Strings(std::vector<Entry> entries, const std::string& name)
      : trie_(complete(std::move(entries), starts_, name)) {}

  struct Match {
    TokenId id;  // -1: none
    std::size_t end;
  };
  // The longest string at `at`.
  Match longest(std::string_view text, std::size_t at) const {
    const auto* const data = reinterpret_cast<const unsigned char*>(text.data());
    if (!starts_.any[data[at]]) return {-1, at};
    const ByteTrie::Match match = trie_.longest(data + at, data + text.size());
    return {match.id == kNone ? -1 : match.id - kFirst, static_cast<std::size_t>(match.end - data)};
  }

 private:
  static constexpr TokenId kNone = 1, kFirst = 2;

  struct Starts {
    bool any[256] = {};  // whether a string starts with this byte
    std::string bytes;   // all bytes, one after the other
  };

  static std::vector<Entry> complete(std::vector<Entry> entries, Starts& starts, const std::string& name) {
    for (Entry& entry : entries) {
      starts.any[static_cast<unsigned char>(entry.bytes[0])] = true;
      entry.id += kFirst;
    }
    for (int byte = 0; byte < 256; ++byte) starts.bytes += static_cast<char>(byte);
    bool alone[256] = {};
    for (const Entry& entry : entries)
      alone[static_cast<unsigned char>(entry.bytes[0])] |= entry.bytes.size() == 1;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if (!alone[byte]) entries.push_back({std::string_view(starts.bytes).substr(byte, 1), kNone});
    }
    std::ranges::sort(entries, {}, &Entry::bytes);
    const auto twin = std::ranges::adjacent_find(entries, {}, &Entry::bytes);
    RR_CHECK_INPUT(twin == entries.end(), name, ": two tokens are written \"", twin->bytes, "\" in text");
    return entries;
  }

  Starts starts_;
  ByteTrie trie_;
};

class NeoxTokenizer final : public Tokenizer {
 public:
  NeoxTokenizer(NeoxVocabulary vocabulary, const std::string& name)
      : vocabulary_(std::move(vocabulary)),
        bpe_(vocabulary_.bytes, vocabulary_.merges),
        splitter_(code_points_),
        before_(added(false), name),
        after_(added(true), name),
        words_(whole_words(), name) {
    for (const auto& token : vocabulary_.added) {
      if (token.special) vocabulary_.tokens[token.id].clear();
    }
  }

  const char* name() const override { return "gpt-neox"; }
  Index vocab_size() const override { return static_cast<Index>(vocabulary_.tokens.size()); }

  void encode(std::string_view text, std::vector<TokenId>& out) const override {
    std::string valid;
    if (find_invalid_utf8(text) >= 0) text = valid = replace_invalid_utf8(text);
    Bpe::Workspace workspace;
    split(text, before_, out, [&](std::string_view part) {
      std::string normal;
      if (!code_points_.is_plainly_nfc(part)) {
        code_points_.append_nfc(part, normal);
        part = normal;
      }
      split(part, after_, out, [&](std::string_view plain) { encode_words(plain, workspace, out); });
    });
  }

  std::string decode(std::span<const TokenId> ids) const override {
    std::string bytes;
    for (const TokenId id : ids) {
      RR_CHECK_INPUT(id >= 0 && id < vocab_size(), "token id ", id,
                     " has no token in the vocabulary, whose ids go from 0 to ", vocab_size() - 1);
      bytes += vocabulary_.tokens[id];
    }
    return bytes;
  }

 private:
  // Puts the ids of the strings that stand in `text` into `out`, leftmost first and the longest of several,
  // and calls encode_part for what lies between, in order.
  template <class EncodePart>
  static void split(std::string_view text, const Strings& strings, std::vector<TokenId>& out,
                    EncodePart encode_part) {
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
      const Strings::Match match = strings.longest(text, at);
      if (match.id < 0) {
        ++at;
        continue;
      }
      if (begin < at) encode_part(text.substr(begin, at - begin));
      out.push_back(match.id);
      begin = at = match.end;
    }
    if (begin < text.size()) encode_part(text.substr(begin));
  }

  void encode_words(std::string_view text, Bpe::Workspace& workspace, std::vector<TokenId>& out) const {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = splitter_.word_end(text, at);
      const Strings::Match match = words_.longest(text.substr(0, end), at);
      if (match.id >= 0 && match.end == end) {
        out.push_back(match.id);
      } else {
        bpe_.encode(text.substr(at, end - at), workspace, out);
      }
      at = end;
    }
  }

  std::vector<ByteTrie::Entry> added(bool normalized) {
    std::vector<ByteTrie::Entry> entries;
    for (auto& token : vocabulary_.added) {
      if (token.normalized != normalized) continue;
      if (normalized) {
        std::string normal;
        code_points_.append_nfc(token.text, normal);
        token.text = std::move(normal);
      }
      entries.push_back({token.text, token.id});
    }
    return entries;
  }

  // The tokens that merging makes of their own bytes: most words of a text are one of them and need no
  // merging.
  std::vector<ByteTrie::Entry> whole_words() const {
    std::vector<ByteTrie::Entry> entries;
    Bpe::Workspace workspace;
    std::vector<TokenId> ids;
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      const std::string& bytes = vocabulary_.tokens[id];
      const bool has_tokens = std::ranges::all_of(bytes, [&](char byte) {
        return vocabulary_.bytes[static_cast<unsigned char>(byte)] != Bpe::kNoToken;
      });
      if (!has_tokens) continue;
      ids.clear();
      bpe_.encode(bytes, workspace, ids);
      if (ids.size() == 1 && ids[0] == static_cast<TokenId>(id)) entries.push_back({bytes, ids[0]});
    }
    return entries;
  }

  const CodePoints& code_points_ = CodePoints::get();
  NeoxVocabulary vocabulary_;
  Bpe bpe_;
  WordSplitter splitter_;
  Strings before_, after_;  // added tokens that are looked for before and after normalisation
  Strings words_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_neox_tokenizer(std::string_view file, const std::string& name) {
  return std::make_unique<NeoxTokenizer>(parse_neox_file(file, name), name);
}

}  // namespace riverrun::text
