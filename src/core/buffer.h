// Buffer: owned, aligned memory on one device.
#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/types.h"

namespace riverrun {

// 64-byte aligned host memory, not initialised. Large buffers ask for huge pages. Moves, does not copy.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Index bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::byte* data() const { return data_; }
  Index bytes() const { return bytes_; }
  template <class T>
  T* as() const { return reinterpret_cast<T*>(data_); }

 private:
  std::byte* data_ = nullptr;
  Index bytes_ = 0;
};

// A Buffer of `size` elements of T. A moved-from Array is empty or holds other whole elements, as its Buffer does.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(Index size) : buffer_(bytes_of(size)) {}
  Array(Index size, T value) : Array(size) {
    for (Index i = 0; i < size; ++i) data()[i] = value;
  }

  T* data() const { return buffer_.as<T>(); }
  Index size() const { return buffer_.bytes() / Index{sizeof(T)}; }
  T& operator[](Index at) const { return data()[at]; }
  std::span<T> span() const { return {data(), static_cast<std::size_t>(size())}; }

 private:
  static Index bytes_of(Index size) {
    RR_CHECK(size <= std::numeric_limits<Index>::max() / Index{sizeof(T)}, "an array of ", size, " elements");
    return size * Index{sizeof(T)};
  }

  Buffer buffer_;
};

}  // namespace riverrun
