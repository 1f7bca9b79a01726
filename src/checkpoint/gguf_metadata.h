// The key-value pairs at the front of a GGUF file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/byte_cursor.h"
#include "core/types.h"

namespace riverrun::checkpoint {

// Reads all pairs and checks that they lie in the file; values are looked at when asked for. Keys and texts
// point into the file.
class GgufMetadata {
 public:
  // Leaves the cursor behind the last of `count` pairs. InputError for an unknown type, arrays nested too
  // deeply, or a key that comes twice.
  GgufMetadata(ByteCursor& cursor, std::uint64_t count);

  // Nothing when there is no such key; InputError when its value is of another type, or negative.
  std::optional<std::string_view> text(std::string_view key) const;
  std::optional<Index> whole(std::string_view key) const;  // a whole number from 0 up, of any integer type
  std::optional<double> real(std::string_view key) const;  // F32 or F64
  std::vector<std::string> texts(
      std::string_view key) const;  // an array of strings; empty when there is none

 private:
  struct Value {
    std::uint32_t type;
    ByteCursor at;  // where it begins
  };
  const Value* find(std::string_view key) const;

  std::map<std::string_view, Value> values_;
};

}  // namespace riverrun::checkpoint
