#include <charconv>
#include <optional>
#include <unordered_map>

#include "core/error.h"
#include "text/byte_trie.h"
#include "text/world_vocabulary.h"

namespace riverrun::text {
namespace {

// Moves `at` past the escape that starts there; null when it is none that Python writes.
std::optional<char> unescape(std::string_view text, std::size_t& at) {
  if (at + 1 >= text.size()) return std::nullopt;
  const char kind = text[at + 1];
  at += 2;
  switch (kind) {
    case 't':
      return '\t';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case '\\':
    case '\'':
      return kind;
    case 'x': {
      const std::string_view digits = text.substr(at, 2);
      unsigned value = 0;
      const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
      if (digits.size() != 2 || error != std::errc{} || stop != digits.data() + 2) return std::nullopt;
      at += 2;
      return static_cast<char>(value);
    }
    default:
      return std::nullopt;
  }
}

// The bytes that `text` stands for; null when it is not the inside of a bytes literal.
std::optional<std::string> bytes_of(std::string_view text) {
  std::string bytes;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c < 0x20 || c > 0x7e) return std::nullopt;
    if (c != '\\') {
      bytes += c;
      ++at;
      continue;
    }
    const auto byte = unescape(text, at);
    if (!byte) return std::nullopt;
    bytes += *byte;
  }
  return bytes;
}

}  // namespace

WorldVocabulary parse_gguf_vocabulary(std::span<const std::string> tokens, const std::string& name) {
  constexpr const char* kAdvice =
      "; the file is damaged or its vocabulary is not RWKV World, name one with --tokenizer";
  RR_CHECK_INPUT(tokens.size() > 1 && tokens.size() <= ByteTrie::kMaxId, name, ": its list of tokens has ",
                 tokens.size(), " entries", kAdvice);
  WorldVocabulary vocabulary;
  std::unordered_map<std::string, std::size_t> ids;
  for (std::size_t id = 1; id < tokens.size(); ++id) {
    if (tokens[id] == concat("[PAD", id, "]")) continue;
    const auto bytes = bytes_of(tokens[id]);
    RR_CHECK_INPUT(
        bytes && !bytes->empty(), name, ": the token of id ", id,
        " is empty or not written as RWKV converters write it (printable ASCII, \\t \\n \\r \\\\ \\' \\xNN)",
        kAdvice);
    const auto [entry, is_new] = ids.emplace(*bytes, id);
    RR_CHECK_INPUT(is_new, name, ": the tokens of ids ", entry->second, " and ", id, " are the same",
                   kAdvice);
    vocabulary.tokens.resize(id + 1);
    vocabulary.tokens[id] = *bytes;
  }
  check_single_bytes(vocabulary.tokens, name);
  return vocabulary;
}

}  // namespace riverrun::text
