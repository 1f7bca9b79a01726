#include "checkpoint/layout.h"

#include <algorithm>
#include <limits>

#include "checkpoint/checkpoint.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

constexpr Index kMaxElements = std::numeric_limits<Index>::max() / 8;

}  // namespace

Index checked_size(const std::string& where, const std::vector<Index>& shape) {
  RR_CHECK_INPUT(shape.size() <= kMaxRank, where, " has ", shape.size(), " dimensions, more than ", kMaxRank);
  for (const Index n : shape)
    RR_CHECK_INPUT(n >= 0, where, " has a negative dimension in ", shape_text(shape));
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  Index size = 1;
  for (const Index n : shape) {
    RR_CHECK_INPUT(!__builtin_mul_overflow(size, n, &size) && size <= kMaxElements, where, " of shape ",
                   shape_text(shape), " is too large for any file");
  }
  return size;
}

Index checked_extent(const std::string& where, const std::vector<Index>& shape,
                     const std::vector<Index>& strides) {
  RR_CHECK_INPUT(shape.size() == strides.size(), where, " has shape ", shape_text(shape), " but strides ",
                 shape_text(strides));
  for (const Index stride : strides) {
    RR_CHECK_INPUT(stride >= 0, where, " has a negative stride in ", shape_text(strides));
  }
  if (checked_size(where, shape) == 0) return 0;
  Index extent = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    Index step = 0;
    const bool fits = !__builtin_mul_overflow(shape[d] - 1, strides[d], &step) &&
                      !__builtin_add_overflow(extent, step, &extent) && extent <= kMaxElements;
    RR_CHECK_INPUT(fits, where, " of shape ", shape_text(shape), " and strides ", shape_text(strides),
                   " is too large for any file");
  }
  return extent;
}

std::vector<Index> dense_strides(const std::vector<Index>& shape) {
  std::vector<Index> strides(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) {
    // An empty tensor may have dimensions whose product does not fit; its strides are never used.
    if (__builtin_mul_overflow(strides[d], std::max<Index>(shape[d], 1), &strides[d - 1])) strides[d - 1] = 0;
  }
  return strides;
}

}  // namespace riverrun::checkpoint
