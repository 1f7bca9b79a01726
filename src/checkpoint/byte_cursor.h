// ByteCursor: reads a file's header from front to back; nothing outside the file is ever touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"

namespace riverrun::checkpoint {

// Views of text point into the bytes. `what` names the thing read, for the InputError when the bytes end
// before it does.
class ByteCursor {
 public:
  ByteCursor(std::string path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}

  const std::string& path() const { return path_; }
  std::size_t position() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }

  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof value, what), sizeof value);
    return value;
  }

  // A length of 8 bytes, then as many bytes.
  std::string_view text(std::string_view what) {
    const auto length = number<std::uint64_t>(what);
    return {reinterpret_cast<const char*>(take(length, what)), static_cast<std::size_t>(length)};
  }

  // `count` things of at least `bytes` each.
  void skip(std::uint64_t count, std::size_t bytes, std::string_view what) {
    expect(count, bytes, what);
    at_ += static_cast<std::size_t>(count) * bytes;
  }
  void expect(std::uint64_t count, std::size_t bytes, std::string_view what) const {
    RR_CHECK_INPUT(count <= left() / bytes, path_, ": ", what, " claims ", count,
                   count == 1 ? " item" : " items", " of ", bytes, " bytes or more, but the file ends ",
                   left(), " bytes further on; it is damaged or was not downloaded completely");
  }

 private:
  const std::byte* take(std::uint64_t bytes, std::string_view what) {
    const std::byte* const from = bytes_.data() + at_;
    skip(bytes, 1, what);
    return from;
  }

  std::string path_;
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

}  // namespace riverrun::checkpoint
