#include "checkpoint/gguf_metadata.h"

#include <limits>

#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

enum Type : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
  kValueTypes
};
// Bytes that a value takes at least: a string has a length, an array a type and a length.
constexpr std::size_t kLeastBytes[kValueTypes] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
constexpr int kMaxNesting = 4;  // no known key nests arrays at all

void check_type(const ByteCursor& cursor, std::uint32_t type, std::string_view key) {
  RR_CHECK_INPUT(type < kValueTypes, cursor.path(), ": the metadata key ", key, " has a value of type ", type,
                 ", which GGUF does not have");
}

void skip_value(ByteCursor& cursor, std::uint32_t type, std::string_view key, int depth) {
  check_type(cursor, type, key);
  if (type == kString) {
    cursor.text(key);
  } else if (type != kArray) {
    cursor.skip(1, kLeastBytes[type], key);
  } else {
    RR_CHECK_INPUT(depth < kMaxNesting, cursor.path(), ": the metadata key ", key, " nests arrays more than ",
                   kMaxNesting, " deep");
    const auto element = cursor.number<std::uint32_t>(key);
    const auto count = cursor.number<std::uint64_t>(key);
    check_type(cursor, element, key);
    if (element != kString && element != kArray) return cursor.skip(count, kLeastBytes[element], key);
    cursor.expect(count, kLeastBytes[element], key);
    for (std::uint64_t i = 0; i < count; ++i) skip_value(cursor, element, key, depth + 1);
  }
}

template <class T>
std::optional<Index> whole_number(ByteCursor cursor, std::string_view key) {
  const T value = cursor.number<T>(key);
  if (value < T{0} || static_cast<std::uint64_t>(value) > std::uint64_t{INT64_MAX}) return std::nullopt;
  return static_cast<Index>(value);
}

std::optional<Index> whole_number(const ByteCursor& at, std::uint32_t type, std::string_view key) {
  switch (type) {
    case kU8:
      return whole_number<std::uint8_t>(at, key);
    case kI8:
      return whole_number<std::int8_t>(at, key);
    case kU16:
      return whole_number<std::uint16_t>(at, key);
    case kI16:
      return whole_number<std::int16_t>(at, key);
    case kU32:
      return whole_number<std::uint32_t>(at, key);
    case kI32:
      return whole_number<std::int32_t>(at, key);
    case kU64:
      return whole_number<std::uint64_t>(at, key);
    case kI64:
      return whole_number<std::int64_t>(at, key);
    default:
      return std::nullopt;
  }
}

}  // namespace

GgufMetadata::GgufMetadata(ByteCursor& cursor, std::uint64_t count) {
  cursor.expect(count, kLeastBytes[kString] + sizeof(std::uint32_t) + 1, "the metadata");
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view key = cursor.text("a metadata key");
    const auto type = cursor.number<std::uint32_t>(key);
    RR_CHECK_INPUT(values_.emplace(key, Value{type, cursor}).second, cursor.path(), " has the metadata key ",
                   key, " twice");
    skip_value(cursor, type, key, 0);
  }
}

const GgufMetadata::Value* GgufMetadata::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

std::optional<std::string_view> GgufMetadata::text(std::string_view key) const {
  const Value* const value = find(key);
  if (!value) return std::nullopt;
  ByteCursor cursor = value->at;
  RR_CHECK_INPUT(value->type == kString, cursor.path(), ": the metadata key ", key, " is not a string");
  return cursor.text(key);
}

std::optional<Index> GgufMetadata::whole(std::string_view key) const {
  const Value* const value = find(key);
  if (!value) return std::nullopt;
  const auto number = whole_number(value->at, value->type, key);
  RR_CHECK_INPUT(number, value->at.path(), ": the metadata key ", key, " is not a whole number from 0 up");
  return number;
}

std::optional<double> GgufMetadata::real(std::string_view key) const {
  const Value* const value = find(key);
  if (!value) return std::nullopt;
  ByteCursor cursor = value->at;
  RR_CHECK_INPUT(value->type == kF32 || value->type == kF64, cursor.path(), ": the metadata key ", key,
                 " is not a floating-point number");
  return value->type == kF32 ? cursor.number<float>(key) : cursor.number<double>(key);
}

std::vector<std::string> GgufMetadata::texts(std::string_view key) const {
  const Value* const value = find(key);
  if (!value) return {};
  ByteCursor cursor = value->at;
  const bool array = value->type == kArray && cursor.number<std::uint32_t>(key) == kString;
  RR_CHECK_INPUT(array, cursor.path(), ": the metadata key ", key, " is not an array of strings");
  std::vector<std::string> texts(cursor.number<std::uint64_t>(key));  // bounded when the pairs were read
  for (std::string& text : texts) text = cursor.text(key);
  return texts;
}

}  // namespace riverrun::checkpoint
