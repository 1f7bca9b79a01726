#include "text/json_lines.h"

#include <simdjson.h>

#include <limits>
#include <utility>

#include "core/error.h"
#include "text/line_reader.h"
#include "text/utf8.h"

namespace riverrun::text {
namespace {

namespace ondemand = simdjson::ondemand;

class JsonLines final : public Reader {
 public:
  JsonLines(std::unique_ptr<ByteStream> stream, const std::string& path, const std::string& name)
      : lines_(std::move(stream), simdjson::SIMDJSON_PADDING, kLongest), path_(path), name_(name) {}

  bool next(Document& document) override {
    std::string_view line;
    if (!next_line(line)) return false;

    document.where = concat(path_, " line ", number_);
    document.error.clear();
    parse(line, document);
    if (!has_id_) document.id = concat(name_, ":", number_);
    check_document_id(document.id, document.where);
    return true;
  }

  bool skip() override {
    std::string_view line;
    if (!next_line(line)) return false;
    RR_CHECK_INPUT(line.size() <= kLongest, path_, " line ", number_, ": is longer than 4 GiB");
    return true;
  }

 private:
  // The next line that is not white space.
  bool next_line(std::string_view& line) {
    do {
      if (!lines_.next(line)) return false;
      if (++number_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    } while (line.size() <= kLongest && line.find_first_not_of(" \t\r") == std::string_view::npos);
    return true;
  }

  void parse(std::string_view line, Document& document) {
    where_ = &document.where;
    has_id_ = has_text_ = document.has_tokens = false;
    document.text.clear();
    document.tokens.clear();

    ondemand::document json;
    need(parser_.iterate(line.data(), line.size(), line.size() + simdjson::SIMDJSON_PADDING).get(json));
    ondemand::object object;
    const simdjson::error_code error = json.get_object().get(object);
    check(error != simdjson::INCORRECT_TYPE, "it is not a JSON object");
    need(error);
    for (auto member : object) {
      ondemand::field field;
      std::string_view key;
      need(std::move(member).get(field));
      need(field.unescaped_key().get(key));
      read_member(key, field.value(), document);
    }
    const bool ended = json.current_location().error() == simdjson::OUT_OF_BOUNDS;
    check(ended, "something follows its JSON object");
    check(has_text_ || document.has_tokens, "it has neither \"text\" nor \"tokens\"");
    check(!has_text_ || !document.has_tokens, "it has both \"text\" and \"tokens\"");
  }

  void read_member(std::string_view key, ondemand::value value, Document& document) {
    if (key == "text") {
      check(!std::exchange(has_text_, true), "\"text\" is given twice");
      document.text = string_of(value, "\"text\" is not a string");
    } else if (key == "tokens") {
      check(!std::exchange(document.has_tokens, true), "\"tokens\" is given twice");
      read_tokens(value, document.tokens);
    } else if (key == "id") {
      check(!std::exchange(has_id_, true), "\"id\" is given twice");
      document.id = id_of(value);
    } else {
      check_json(value, 1);
    }
  }

  ondemand::json_type type_of(ondemand::value& value) {
    ondemand::json_type type{};
    need(value.type().get(type));
    return type;
  }

  // Simdjson looks at a value's syntax only when the value is read, so members without use are read too.
  void check_json(ondemand::value value, int depth) {
    constexpr int kMaxDepth = 256;
    check(depth <= kMaxDepth, "it is nested more than 256 deep");
    switch (type_of(value)) {
      case ondemand::json_type::array:
        for (auto element : value.get_array()) {
          ondemand::value inner;
          need(std::move(element).get(inner));
          check_json(inner, depth + 1);
        }
        return;
      case ondemand::json_type::object:
        for (auto member : value.get_object()) {
          ondemand::field field;
          std::string_view key;
          need(std::move(member).get(field));
          need(field.unescaped_key().get(key));
          check_json(field.value(), depth + 1);
        }
        return;
      case ondemand::json_type::string:
        return need(value.get_string().error());
      case ondemand::json_type::number:
        return need(value.get_double().error());
      case ondemand::json_type::boolean:
        return need(value.get_bool().error());
      case ondemand::json_type::null: {
        bool is_null = false;
        need(value.is_null().get(is_null));
        return check(is_null, "it is not valid JSON: null is misspelt");
      }
    }
  }

  std::string_view string_of(ondemand::value value, const char* problem) {
    check(type_of(value) == ondemand::json_type::string, problem);
    std::string_view text;
    need(value.get_string().get(text));
    return text;
  }

  std::string id_of(ondemand::value value) {
    const ondemand::json_type type = type_of(value);
    if (type == ondemand::json_type::string) return std::string(string_of(value, ""));
    check(type == ondemand::json_type::number, "\"id\" is neither a string nor an integer");
    ondemand::number number;
    need(value.get_number().get(number));
    check(!number.is_double(), "\"id\" is a number, but not an integer");
    return number.is_uint64() ? std::to_string(number.get_uint64()) : std::to_string(number.get_int64());
  }

  void read_tokens(ondemand::value value, std::vector<TokenId>& tokens) {
    check(type_of(value) == ondemand::json_type::array, "\"tokens\" is not an array");
    for (auto element : value.get_array()) {
      ondemand::value inner;
      need(std::move(element).get(inner));
      check(type_of(inner) == ondemand::json_type::number, "\"tokens\" holds something that is not an integer");
      std::int64_t token = 0;
      const bool is_integer = inner.get_int64().get(token) == simdjson::SUCCESS;
      check(is_integer && token >= std::numeric_limits<TokenId>::min() &&
                token <= std::numeric_limits<TokenId>::max(),
            "\"tokens\" holds a number that is not an integer of 32 bits");
      tokens.push_back(static_cast<TokenId>(token));
    }
  }

  void need(simdjson::error_code error) const {
    if (error == simdjson::SUCCESS) return;
    if (error == simdjson::MEMALLOC) throw Error(concat(*where_, ": not enough memory to read this line"));
    check(error != simdjson::CAPACITY, "it is longer than 4 GiB, the most this program reads");
    check(error != simdjson::UTF8_ERROR, "it is not valid UTF-8");
    check(false, concat("it is not valid JSON: ", simdjson::error_message(error)).c_str());
  }

  void check(bool condition, const char* problem) const {
    RR_CHECK_INPUT(condition, *where_, ": ", problem, "; correct or remove the line");
  }

  static constexpr std::size_t kLongest = simdjson::SIMDJSON_MAXSIZE_BYTES;

  LineReader lines_;
  ondemand::parser parser_{kLongest};
  std::string path_, name_;
  Index number_ = 0;
  const std::string* where_ = nullptr;
  bool has_id_ = false, has_text_ = false;
};

}  // namespace

std::unique_ptr<Reader> make_json_lines(std::unique_ptr<ByteStream> stream, const std::string& path,
                                        const std::string& name) {
  return std::make_unique<JsonLines>(std::move(stream), path, name);
}

}  // namespace riverrun::text
