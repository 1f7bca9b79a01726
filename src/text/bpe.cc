#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "core/error.h"

namespace riverrun::text {
namespace {

// A queue entry is rank << kPositionBits | position, so that the smallest is the merge to do next.
constexpr int kPositionBits = 42;
constexpr std::uint64_t kPositionMask = (std::uint64_t{1} << kPositionBits) - 1;
static_assert(Bpe::kMostMerges <= std::uint64_t{1} << (64 - kPositionBits));

std::uint64_t key_of(TokenId left, TokenId right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

std::uint64_t hash(std::uint64_t key) { return (key ^ key >> 29) * 0x9e3779b97f4a7c15u; }

}  // namespace

Bpe::Bpe(const std::array<TokenId, 256>& bytes, std::span<const Merge> merges) : bytes_(bytes) {
  RR_CHECK(merges.size() <= kMostMerges, merges.size(), " merges");
  const std::size_t size = std::bit_ceil(std::max<std::size_t>(2 * merges.size(), 2));
  slots_.resize(size);
  shift_ = 64 - std::countr_zero(size);
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::uint64_t key = key_of(merges[rank].left, merges[rank].right);
    std::size_t at = hash(key) >> shift_;
    while (slots_[at].pair != ~std::uint64_t{0}) {
      RR_CHECK(slots_[at].pair != key, "merge ", rank, " is given twice");
      at = (at + 1) & (size - 1);
    }
    slots_[at] = {key, static_cast<std::uint32_t>(rank), merges[rank].merged};
  }
}

const Bpe::Slot* Bpe::find(TokenId left, TokenId right) const {
  const std::uint64_t key = key_of(left, right);
  for (std::size_t at = hash(key) >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == key) return &slots_[at];
    if (slots_[at].pair == ~std::uint64_t{0}) return nullptr;
  }
}

// Adds the merge of the symbols at `at` and `right`, if there is one.
void Bpe::push(Workspace& workspace, std::size_t at, std::size_t right) const {
  const Slot* const slot = find(workspace.ids[at], workspace.ids[right]);
  if (slot) workspace.queue.push_back(std::uint64_t{slot->rank} << kPositionBits | at);
}

// A symbol lies at the position of its first byte; its size is kept there and at its last byte, so that both
// neighbours are found. ids holds kNoToken where no symbol starts.
void Bpe::encode(std::string_view word, Workspace& workspace, std::vector<TokenId>& out) const {
  auto& ids = workspace.ids;
  auto& sizes = workspace.sizes;
  auto& queue = workspace.queue;
  const std::size_t n = word.size();
  RR_CHECK(n <= kPositionMask, "a word of ", n, " bytes");
  ids.resize(n);
  sizes.assign(n, 1);
  queue.clear();
  for (std::size_t at = 0; at < n; ++at) ids[at] = bytes_[static_cast<unsigned char>(word[at])];
  for (std::size_t at = 1; at < n; ++at) push(workspace, at - 1, at);
  std::ranges::make_heap(queue, std::greater{});
  while (!queue.empty()) {
    std::ranges::pop_heap(queue, std::greater{});
    const std::uint64_t next = queue.back();
    queue.pop_back();
    const std::size_t at = next & kPositionMask;
    const std::size_t right = at + sizes[at];
    if (ids[at] == kNoToken || right >= n) continue;
    // An entry outlives its pair when either symbol was merged with another; its rank then is not that of
    // what is here.
    const Slot* const slot = find(ids[at], ids[right]);
    if (!slot || slot->rank != next >> kPositionBits) continue;
    const std::uint32_t size = sizes[at] + sizes[right];
    ids[at] = slot->merged;
    ids[right] = kNoToken;
    sizes[at] = sizes[at + size - 1] = size;
    const auto push_heap = [&](std::size_t left_of_pair, std::size_t right_of_pair) {
      const std::size_t before = queue.size();
      push(workspace, left_of_pair, right_of_pair);
      if (queue.size() > before) std::ranges::push_heap(queue, std::greater{});
    };
    if (at > 0) push_heap(at - sizes[at - 1], at);
    if (at + size < n) push_heap(at, at + size);
  }
  for (std::size_t at = 0; at < n; at += sizes[at]) out.push_back(ids[at]);
}

}  // namespace riverrun::text
