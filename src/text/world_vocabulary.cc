#include "text/world_vocabulary.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>

#include "core/error.h"
#include "text/byte_trie.h"
#include "text/utf8.h"

namespace riverrun::text {
namespace {

std::optional<Index> parse_number(std::string_view digits, int radix = 10) {
  Index value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, radix);
  if (error != std::errc{} || stop != end || digits.empty() || digits[0] == '-') return std::nullopt;
  return value;
}

// Reads one Python literal. What Python would refuse is refused, and so are octal and named escapes, which
// the vocabulary does not use.
class Literal {
 public:
  explicit Literal(std::string_view source) : source_(source) {
    is_bytes_ = source_.starts_with('b');
    if (is_bytes_) source_.remove_prefix(1);
  }

  // The bytes the literal stands for; null when it is no such literal, and problem() says why.
  std::optional<std::string> parse() {
    const bool quoted =
        source_.size() >= 2 && source_.find_first_of("'\"") == 0 && source_.back() == source_[0];
    if (!quoted) return refuse("its token is not a quoted Python literal");
    const char quote = source_[0];
    const std::string_view body = source_.substr(1, source_.size() - 2);
    for (std::size_t at = 0; at < body.size();) {
      const char c = body[at];
      if (c == quote) return refuse("its token holds its own quote mark unescaped");
      if (is_bytes_ && (c & 0x80)) return refuse("its b'' literal holds a byte that is not ASCII");
      if (c != '\\') {
        out_ += c;
        ++at;
      } else if (!escape(body, at)) {
        return refuse("its token holds an escape that is not understood");
      }
    }
    if (!is_bytes_ && find_invalid_utf8(out_) >= 0) return refuse("its token is not valid UTF-8");
    return std::move(out_);
  }

  const char* problem() const { return problem_; }

 private:
  std::nullopt_t refuse(const char* problem) {
    problem_ = problem;
    return std::nullopt;
  }

  bool escape(std::string_view body, std::size_t& at) {
    if (at + 1 >= body.size()) return false;
    const char kind = body[at + 1];
    at += 2;
    switch (kind) {
      case 'n':
        out_ += '\n';
        return true;
      case 't':
        out_ += '\t';
        return true;
      case 'r':
        out_ += '\r';
        return true;
      case '\\':
      case '\'':
      case '"':
        out_ += kind;
        return true;
      case 'x':
        return code_point(body, at, 2);
      case 'u':
        return !is_bytes_ && code_point(body, at, 4);
      case 'U':
        return !is_bytes_ && code_point(body, at, 8);
      default:
        return false;
    }
  }

  bool code_point(std::string_view body, std::size_t& at, std::size_t digits) {
    const std::string_view hex = body.substr(at, digits);
    const auto value = parse_number(hex, 16);
    if (hex.size() != digits || !value || *value > 0x10ffff || (*value >= 0xd800 && *value < 0xe000))
      return false;
    at += digits;
    if (is_bytes_) {
      out_ += static_cast<char>(*value);
    } else {
      append_utf8(static_cast<std::uint32_t>(*value), out_);
    }
    return true;
  }

  std::string_view source_;
  bool is_bytes_ = false;
  std::string out_;
  const char* problem_ = "";
};

class Parser {
 public:
  explicit Parser(const std::string& name) : name_(name) {}

  void add_line(std::string_view line) {
    ++line_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto first = line.find(' ');
    const auto last = line.rfind(' ');
    check(first != std::string_view::npos && first < last, "it is not of the form: ID 'TOKEN' BYTES");
    const auto id = parse_number(line.substr(0, first));
    const auto bytes = parse_number(line.substr(last + 1));
    check(id && *id >= 1 && *id <= ByteTrie::kMaxId, "its id is not a number from 1 to ", ByteTrie::kMaxId);
    check(bytes.has_value(), "its length is not a number");

    Literal literal(line.substr(first + 1, last - first - 1));
    auto token = literal.parse();
    check(token.has_value(), literal.problem());
    check(!token->empty(), "its token is empty");
    check(static_cast<Index>(token->size()) == *bytes, "its token has ", token->size(), " bytes, not ",
          *bytes);
    add_token(static_cast<std::size_t>(*id), std::move(*token));
  }

  WorldVocabulary finish() {
    RR_CHECK_INPUT(line_ > 0, name_, " is empty; it should be the RWKV World vocabulary");
    check_single_bytes(vocabulary_.tokens, name_);
    return std::move(vocabulary_);
  }

 private:
  template <class... Parts>
  void check(bool condition, const Parts&... problem) const {
    RR_CHECK_INPUT(condition, name_, " line ", line_, ": ", problem...,
                   "; the file is damaged or is no RWKV World vocabulary");
  }

  void add_token(std::size_t id, std::string token) {
    auto& tokens = vocabulary_.tokens;
    if (tokens.size() <= id) tokens.resize(id + 1);
    check(tokens[id].empty(), "id ", id, " was given before");
    const auto [entry, is_new] = lines_.emplace(token, line_);
    check(is_new, "its token is the same as that of line ", entry->second);
    tokens[id] = std::move(token);
  }

  const std::string& name_;
  Index line_ = 0;
  std::unordered_map<std::string, Index> lines_;
  WorldVocabulary vocabulary_;
};

}  // namespace

WorldVocabulary parse_world_vocabulary(std::string_view file, const std::string& name) {
  Parser parser(name);
  while (!file.empty()) {
    const auto end = std::min(file.find('\n'), file.size());
    parser.add_line(file.substr(0, end));
    file.remove_prefix(std::min(end + 1, file.size()));
  }
  return parser.finish();
}

void check_single_bytes(std::span<const std::string> tokens, const std::string& name) {
  bool found[256] = {};
  for (const std::string& token : tokens) {
    if (token.size() == 1) found[static_cast<unsigned char>(token[0])] = true;
  }
  for (int byte = 0; byte < 256; ++byte) {
    RR_CHECK_INPUT(found[byte], name, " has no token for byte ", byte,
                   " alone, so not every text could be encoded; the file is incomplete, fetch it again");
  }
}

bool looks_like_world_vocabulary(std::string_view head) {
  const auto space = head.find_first_not_of("0123456789");
  if (space == 0 || space == std::string_view::npos || head[space] != ' ') return false;
  const std::string_view literal = head.substr(space + 1);
  return literal.starts_with('\'') || literal.starts_with('"') || literal.starts_with("b'") ||
         literal.starts_with("b\"");
}

}  // namespace riverrun::text
