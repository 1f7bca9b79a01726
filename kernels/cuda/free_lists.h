// FreeLists: memory that was given back, kept for the next who asks for as much.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "core/types.h"

namespace riverrun::kernels::cuda {

// Sizes that memory is asked for in: 32 steps from each power of two to the next, so that what was freed fits again.
inline Index rounded_size(Index bytes) {
  constexpr Index kLeast = 512;
  if (bytes <= kLeast) return kLeast;
  const Index step = std::max<Index>(kLeast, static_cast<Index>(std::bit_floor(static_cast<std::uint64_t>(bytes))) / 32);
  return (bytes + step - 1) / step * step;
}

// To ask the driver takes up to milliseconds and stops the GPU. Sizes are rounded ones; not for several threads at once.
class FreeLists {
 public:
  std::byte* take(Index size) {
    const auto found = lists_.find(size);
    if (found == lists_.end() || found->second.empty()) return nullptr;
    std::byte* const data = found->second.back();
    found->second.pop_back();
    bytes_ -= size;
    return data;
  }
  // Room for a piece of this size, which give() needs later and must not fail for want of.
  void expect(Index size) {
    std::vector<std::byte*>& list = lists_[size];
    list.reserve(static_cast<std::size_t>(++pieces_[size]));
  }
  void give(std::byte* data, Index size) noexcept {
    lists_.find(size)->second.push_back(data);
    bytes_ += size;
  }
  template <class Release>
  void clear(Release release) {
    for (auto& [size, list] : lists_) {
      while (!list.empty()) {
        std::byte* const data = list.back();
        list.pop_back(), --pieces_[size], bytes_ -= size;
        release(data);
      }
    }
  }
  Index bytes() const { return bytes_; }

 private:
  std::map<Index, std::vector<std::byte*>> lists_;
  std::map<Index, Index> pieces_;  // of each size: in use or here
  Index bytes_ = 0;                // that are here
};

}  // namespace riverrun::kernels::cuda
