// The input as a ByteStream, in pieces of uneven size.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "text/byte_stream.h"

namespace riverrun::fuzz {

class MemoryStream final : public text::ByteStream {
 public:
  explicit MemoryStream(std::string_view bytes) : bytes_(bytes) {}

  Index read(char* into, Index size) override {
    piece_ = piece_ % 61 * 7 + 1;
    const auto count = std::min({static_cast<std::size_t>(size), bytes_.size(), piece_});
    if (count > 0) std::memcpy(into, bytes_.data(), count);
    bytes_.remove_prefix(count);
    return static_cast<Index>(count);
  }

 private:
  std::string_view bytes_;
  std::size_t piece_ = 1;
};

}  // namespace riverrun::fuzz
