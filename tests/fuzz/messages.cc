// What ranks tell each other: the first byte says which message the rest is. A message that its packer did not make is an Error,
// and no size in it is believed before it is compared with what has come.
#include <algorithm>
#include <cstring>

#include "core/device.h"
#include "jobs/run/work_list.h"
#include "ring/carry.h"
#include "ring/result.h"
#include "tests/fuzz/fuzz.h"

using namespace riverrun;

namespace {

// No weaker than equality, for scores may be NaN.
void unpack_result(std::span<const std::byte> bytes) { fuzz::must(std::ranges::equal(ring::pack(ring::unpack(bytes)), bytes), "pack(unpack(x)) == x"); }

void unpack_work_list(std::span<const std::byte> bytes) {
  const jobs::WorkList list = jobs::unpack_work_list(bytes);
  fuzz::must(std::ranges::equal(jobs::pack(list), bytes), "pack(unpack(x)) == x");
}

// The bytes arrive as some message of a carry in place of the one that is waited for.
void verify_carry(std::span<const std::byte> bytes) {
  static const model::StateShape shape = [] {
    model::StateShape s{};
    s.layers = 2, s.parts = 8, s.part_floats = 4, s.row_floats = 16;
    return s;
  }();
  static const ring::CarryLayout layout(shape, 8);
  static const ring::Carry carry(layout, host_device());
  const Index message = bytes.empty() ? 0 : static_cast<Index>(bytes[0]) % layout.messages();
  const auto room = carry.message(message);
  std::ranges::fill(room, std::byte{0});
  const plan::Slice from{3, 64, 16, false};
  carry.seal(message, 5, from);  // then some of it is written over
  if (!bytes.empty()) std::memcpy(room.data(), bytes.data() + 1, std::min(room.size(), bytes.size() - 1));
  carry.verify(message, 5, from);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  constexpr void (*kReaders[])(std::span<const std::byte>) = {unpack_result, unpack_work_list, verify_carry};
  try {
    kReaders[data[0] % std::size(kReaders)](bytes);
  } catch (const Error&) {
    return 0;
  }
  return 0;
}
