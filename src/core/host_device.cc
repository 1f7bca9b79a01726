#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/device.h"
#include "core/error.h"
#include "core/stream.h"

namespace riverrun {

namespace {

constexpr Index kAlignment = 64;

class HostDevice final : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::cpu; }
  void require(int) override {}
  std::string bus_id() override { return ""; }
  Index free_bytes() override { return std::numeric_limits<Index>::max(); }

  // Large pieces ask for huge pages.
  std::byte* allocate(Index bytes, Memory) override {
    RR_CHECK(bytes >= 0 && bytes <= std::numeric_limits<Index>::max() - kHugePage, "memory of ", bytes, " bytes");
    if (bytes == 0) return nullptr;
    const Index alignment = bytes >= kHugePage ? kHugePage : kAlignment;
    const Index rounded = (bytes + alignment - 1) / alignment * alignment;
    auto* const data = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
    if (!data) throw Error(concat("out of memory: ", bytes >> 20, " MiB asked for"));
    // A hint only: without transparent huge pages the memory is as good, a little slower.
    if (alignment == kHugePage) (void)madvise(data, rounded, MADV_HUGEPAGE);
    return data;
  }
  void free(std::byte* data, Index, Memory) noexcept override { std::free(data); }

  bool reaches(const void*) override { return true; }

  void* open_order(bool) override { return nullptr; }
  void close_order(void*) noexcept override {}

  void copy(void* to, const void* from, Index bytes, const Stream&) override {
    if (bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  void synchronize(const Stream&) override {}
  bool idle(const Stream&) override { return true; }
  std::unique_ptr<Mark> mark(const Stream&) override { return nullptr; }
  std::unique_ptr<Recording> record(const Stream&, const std::function<void()>&) override { return nullptr; }
};

}  // namespace

Device& host_device() {
  static HostDevice device;
  return device;
}

}  // namespace riverrun
