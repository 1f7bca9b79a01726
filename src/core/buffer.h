// Buffer: owned, aligned memory of one device.
#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <utility>

#include "core/device.h"
#include "core/error.h"
#include "core/types.h"

namespace riverrun {

// Memory of a device (by default the host's), not initialised. Moves, does not copy. Where kernels run later than they are
// launched, their stream is synchronised before a Buffer that they use goes.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Index bytes, Device& device = host_device(), Memory memory = Memory::device)
      : data_(device.allocate(bytes, memory)), bytes_(bytes), device_(&device), memory_(memory) {}
  ~Buffer() {
    if (data_) device_->free(data_, bytes_, memory_);
  }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(device_, other.device_);
    std::swap(memory_, other.memory_);
    return *this;
  }

  std::byte* data() const { return data_; }
  Index bytes() const { return bytes_; }
  template <class T>
  T* as() const { return reinterpret_cast<T*>(data_); }

 private:
  std::byte* data_ = nullptr;
  Index bytes_ = 0;
  Device* device_ = nullptr;
  Memory memory_ = Memory::device;
};

// A Buffer of `size` elements of T. A moved-from Array is empty or holds other whole elements, as its Buffer does. Elements
// can be seen where the host reaches the memory.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(Index size, Device& device = host_device(), Memory memory = Memory::device)
      : buffer_(bytes_of(size), device, memory) {}
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
