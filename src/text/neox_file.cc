#include "text/neox_file.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"
#include "text/byte_trie.h"
#include "text/utf8.h"

namespace riverrun::text {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kMostBytes = std::size_t{256}
                                   << 20;  // far more than any such file; simdjson takes several times this

// The code point that stands for each byte in the alphabet of GPT-2.
std::array<std::uint32_t, 256> make_alphabet() {
  std::array<std::uint32_t, 256> alphabet;
  std::uint32_t next = 0x100;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    alphabet[byte] = printable ? byte : next++;
  }
  return alphabet;
}

// Whether well-formed UTF-8 may hold the byte.
bool is_in_utf8(int byte) { return byte < 0xc0 || (byte >= 0xc2 && byte <= 0xf4); }

class File {
 public:
  explicit File(const std::string& name) : name_(name) {}

  dom::object open(std::string_view file) {
    check(file.size() <= kMostBytes, "it is larger than ", kMostBytes >> 20, " MiB");
    dom::element root;
    const auto error = parser_.parse(file.data(), file.size()).get(root);
    check(error == simdjson::SUCCESS, "it is not sound JSON: ", simdjson::error_message(error));
    return object_of(root, "it");
  }

  NeoxVocabulary read(const dom::object& root) {
    check_kind(root);
    const dom::object model = object_of(root["model"], "\"model\"");
    read_tokens(object_of(model["vocab"], "\"model.vocab\""));
    read_added(array_of(root["added_tokens"], "\"added_tokens\""));
    check_ids();
    read_merges(array_of(model["merges"], "\"model.merges\""));
    read_bytes();
    return std::move(vocabulary_);
  }

  std::string model_type(const dom::object& root) const {
    dom::object model;
    std::string_view type;
    if (root["model"].get(model) || model["type"].get(type)) return "";
    return std::string(type);
  }

 private:
  template <class... Parts>
  void check(bool condition, const Parts&... problem) const {
    RR_CHECK_INPUT(
        condition, name_, ": ", problem...,
        "; this program reads tokenizer.json of the GPT-NeoX 20B kind only, name another with --tokenizer");
  }

  dom::object object_of(const auto& element, const char* what) const {
    dom::object object;
    check(element.get(object) == simdjson::SUCCESS, what, " is not a JSON object");
    return object;
  }

  dom::array array_of(const auto& element, const char* what) const {
    dom::array array;
    check(element.get(array) == simdjson::SUCCESS, what, " is not a JSON array");
    return array;
  }

  std::string string_of(const auto& element, const char* what) const {
    std::string_view text;
    check(element.get(text) == simdjson::SUCCESS, what, " is not a string");
    return std::string(text);
  }

  bool flag_of(const dom::object& object, std::string_view member, bool absent) const {
    bool value = absent;
    const auto error = object[member].get(value);
    check(error == simdjson::SUCCESS || error == simdjson::NO_SUCH_FIELD, "\"", member,
          "\" is not true or false");
    return value;
  }

  static bool is_null(const dom::object& object, std::string_view member) {
    dom::element value;
    return object[member].get(value) || value.is_null();
  }

  // An option that this program does not know could change what the tokens are.
  void check_members(const dom::object& object, const std::string& where,
                     std::initializer_list<std::string_view> known) const {
    std::unordered_set<std::string_view> seen;
    for (const auto member : object) {
      const bool understood = std::find(known.begin(), known.end(), member.key) != known.end();
      check(understood, where, " has the member \"", member.key, "\", which is not understood");
      check(seen.insert(member.key).second, where, " has the member \"", member.key, "\" twice");
    }
  }

  dom::object typed(const dom::object& root, const char* member, const char* type,
                    std::initializer_list<std::string_view> known) const {
    check(!is_null(root, member), "it has no ", member, ", where ", type, " is expected");
    const dom::object object = object_of(root[member], member);
    const std::string found = string_of(object["type"], (std::string(member) + "'s \"type\"").c_str());
    check(found == type, "its ", member, " is ", found, ", not ", type);
    check_members(object, concat("its ", member), known);
    return object;
  }

  void check_kind(const dom::object& root) const {
    check_members(root, "it",
                  {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                   "post_processor", "decoder", "model"});
    const dom::object model =
        typed(root, "model", "BPE",
              {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
               "byte_fallback", "ignore_merges", "vocab", "merges"});
    for (const char* const off : {"dropout", "unk_token"}) {
      check(is_null(model, off), "its model has a ", off);
    }
    for (const char* const off : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      check(is_null(model, off) || string_of(model[off], off).empty(), "its model has a ", off);
    }
    for (const char* const off : {"fuse_unk", "byte_fallback", "ignore_merges"}) {
      check(!flag_of(model, off, false), "its model has ", off);
    }
    for (const char* const off : {"truncation", "padding"}) {
      check(is_null(root, off), "it has ", off, " switched on");
    }
    typed(root, "normalizer", "NFC", {"type"});
    const dom::object words =
        typed(root, "pre_tokenizer", "ByteLevel", {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    check(!flag_of(words, "add_prefix_space", true),
          "its pre_tokenizer has add_prefix_space, which puts a space first");
    check(flag_of(words, "use_regex", true), "its pre_tokenizer has use_regex switched off");
    typed(root, "decoder", "ByteLevel", {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    // What ByteLevel does after the tokens are made concerns their places in the text only.
    if (!is_null(root, "post_processor")) {
      typed(root, "post_processor", "ByteLevel", {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    }
  }

  void add_token(std::string token, std::int64_t id) {
    // Without gaps there are as many ids as tokens, so a gap shows before anything is allocated for it.
    check(id >= 0 && id < ByteTrie::kMaxId - 1, "token \"", token, "\" has the id ", id);
    check(!token.empty(), "the token of id ", id, " is empty");
    const auto [entry, is_new] = ids_.emplace(std::move(token), static_cast<TokenId>(id));
    check(is_new, "the token \"", entry->first, "\" is given twice");
  }

  void read_tokens(const dom::object& tokens) {
    for (const auto member : tokens) {
      std::int64_t id = 0;
      check(member.value.get(id) == simdjson::SUCCESS, "the id of token \"", member.key,
            "\" is not an integer");
      add_token(std::string(member.key), id);
    }
  }

  void read_added(const dom::array& tokens) {
    std::unordered_set<std::string> seen;
    for (const dom::element element : tokens) {
      const dom::object token = object_of(element, "an added token");
      check_members(token, "an added token",
                    {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
      std::string text = string_of(token["content"], "the content of an added token");
      for (const char* const off : {"single_word", "lstrip", "rstrip"}) {
        check(!flag_of(token, off, false), "its added token \"", text, "\" has ", off);
      }
      std::int64_t id = -1;
      check(token["id"].get(id) == simdjson::SUCCESS, "the id of added token \"", text,
            "\" is not an integer");
      check(seen.insert(text).second, "the added token \"", text, "\" is given twice");
      const auto in_vocabulary = ids_.find(text);
      if (in_vocabulary == ids_.end()) {
        add_token(text, id);
      } else {
        check(in_vocabulary->second == id, "the added token \"", text, "\" has the id ", id, ", but ",
              in_vocabulary->second, " in the vocabulary");
      }
      const bool special = flag_of(token, "special", false);
      vocabulary_.added.push_back(
          {std::move(text), static_cast<TokenId>(id), special, flag_of(token, "normalized", !special)});
    }
  }

  void check_ids() {
    vocabulary_.tokens.resize(ids_.size());
    std::vector<bool> seen(ids_.size());
    std::unordered_set<std::string_view> added;
    for (const auto& token : vocabulary_.added) added.insert(token.text);
    std::array<std::uint32_t, 256> alphabet = make_alphabet();
    for (int byte = 0; byte < 256; ++byte) byte_of_[alphabet[byte]] = static_cast<char>(byte);
    for (const auto& [token, id] : ids_) {
      check(static_cast<std::size_t>(id) < ids_.size(), "token \"", token, "\" has the id ", id,
            ", but there are only ", ids_.size(), " tokens: ids must have no gaps");
      check(!seen[id], "the id ", id, " is given twice");
      seen[id] = true;
      vocabulary_.tokens[id] = added.contains(token) ? token : bytes_of(token);
    }
  }

  // What a token of the byte alphabet stands for.
  std::string bytes_of(const std::string& token) const {
    std::string bytes;
    for (std::size_t at = 0; at < token.size();) {
      const auto byte = byte_of_.find(next_code_point(token, at));
      check(byte != byte_of_.end(), "the token \"", token, "\" is not in the byte alphabet of GPT-2");
      bytes += byte->second;
    }
    return bytes;
  }

  TokenId id_of(const std::string& token) const {
    const auto entry = ids_.find(token);
    return entry == ids_.end() ? Bpe::kNoToken : entry->second;
  }

  void read_merges(const dom::array& merges) {
    std::unordered_set<std::uint64_t> seen;
    for (const dom::element merge : merges) {
      const auto [left, right] = parts_of(merge);
      const Bpe::Merge one{id_of(left), id_of(right), id_of(left + right)};
      const std::size_t rank = vocabulary_.merges.size();
      check(one.left >= 0 && one.right >= 0 && one.merged >= 0, "merge ", rank, " (\"", left, " ", right,
            "\") is of, or makes, what is no token");
      const std::uint64_t pair =
          std::uint64_t{static_cast<std::uint32_t>(one.left)} << 32 | static_cast<std::uint32_t>(one.right);
      check(seen.insert(pair).second, "merge ", rank, " (\"", left, " ", right, "\") is given twice");
      check(rank < Bpe::kMostMerges, "it has more than ", Bpe::kMostMerges, " merges");
      vocabulary_.merges.push_back(one);
    }
  }

  // "a b", or ["a", "b"] as newer files have it.
  std::pair<std::string, std::string> parts_of(const dom::element& merge) const {
    std::string_view text;
    if (merge.get(text) == simdjson::SUCCESS) {
      const auto space = text.find(' ');
      const bool two = space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos;
      check(two, "the merge \"", text, "\" is not two tokens with a space between");
      return {std::string(text.substr(0, space)), std::string(text.substr(space + 1))};
    }
    const dom::array pair = array_of(merge, "a merge");
    check(pair.size() == 2, "a merge has ", pair.size(), " parts, not 2");
    return {string_of(pair.at(0), "a part of a merge"), string_of(pair.at(1), "a part of a merge")};
  }

  void read_bytes() {
    const std::array<std::uint32_t, 256> alphabet = make_alphabet();
    for (int byte = 0; byte < 256; ++byte) {
      std::string letter;
      append_utf8(alphabet[byte], letter);
      vocabulary_.bytes[byte] = id_of(letter);
      check(vocabulary_.bytes[byte] >= 0 || !is_in_utf8(byte), "it has no token for byte ", byte,
            " alone, so not every text could be encoded");
    }
  }

  const std::string& name_;
  dom::parser parser_;
  NeoxVocabulary vocabulary_;
  std::unordered_map<std::string, TokenId> ids_;  // as the file writes the tokens
  std::unordered_map<std::uint32_t, char> byte_of_;
};

}  // namespace

NeoxVocabulary parse_neox_file(std::string_view text, const std::string& name) {
  File file(name);
  return file.read(file.open(text));
}

std::string tokenizer_json_model(std::string_view text, const std::string& name) {
  File file(name);
  return file.model_type(file.open(text));
}

}  // namespace riverrun::text
