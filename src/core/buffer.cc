#include "core/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <limits>

#include "core/error.h"

namespace riverrun {

namespace {
constexpr Index kAlignment = 64;
constexpr Index kHugePage = Index{2} << 20;
}  // namespace

Buffer::Buffer(Index bytes) : bytes_(bytes) {
  RR_CHECK(bytes >= 0, "a buffer of ", bytes, " bytes");
  if (bytes == 0) return;
  const Index alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  RR_CHECK(bytes <= std::numeric_limits<Index>::max() - alignment, "a buffer of ", bytes, " bytes");
  const Index rounded = (bytes + alignment - 1) / alignment * alignment;
  data_ = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
  if (!data_) throw Error(concat("out of memory: ", bytes >> 20, " MiB asked for"));
  // A hint only: without transparent huge pages the memory is as good, a little slower.
  if (alignment == kHugePage) (void)madvise(data_, rounded, MADV_HUGEPAGE);
}

Buffer::~Buffer() { std::free(data_); }

}  // namespace riverrun
