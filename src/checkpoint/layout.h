// Sizes and extents of tensors that a file describes, with arithmetic that cannot overflow.
#pragma once

#include <string>
#include <vector>

#include "core/types.h"

namespace riverrun::checkpoint {

constexpr std::size_t kMaxRank = 32;  // far above any weight; bounds the work that one tensor can ask for

// Product of the dimensions. InputError, beginning with `where`, for a negative dimension, a rank above
// kMaxRank, or a size in bytes (elements of up to 8 bytes) that does not fit an Index.
Index checked_size(const std::string& where, const std::vector<Index>& shape);

// 1 + the position of the last element, counted in elements from the first; 0 for an empty tensor. InputError
// as above, also for a negative stride or a number of strides that differs from the rank.
Index checked_extent(const std::string& where, const std::vector<Index>& shape,
                     const std::vector<Index>& strides);

// Row-major strides without gaps.
std::vector<Index> dense_strides(const std::vector<Index>& shape);

}  // namespace riverrun::checkpoint
