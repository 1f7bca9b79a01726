#include "text/byte_trie.h"

#include <algorithm>
#include <deque>

#include "core/error.h"

namespace riverrun::text {

struct ByteTrie::Builder {
  std::span<const Entry> entries;
  std::vector<Unit>& units;
  std::vector<bool> base_used;
  Index open_block = 1;  // blocks before it are full enough not to be searched again

  // The entries [begin, end) share their first `depth` bytes; one of exactly that length was taken off
  // already.
  struct Node {
    Index begin, end;
    std::size_t depth;
    std::uint32_t unit;
  };
  struct Child {
    unsigned char label;
    Index begin, end;
  };

  void add_block() {
    units.resize(units.size() + kBlock);
    base_used.resize(units.size());
  }

  bool fits(std::uint32_t base, const std::vector<Child>& children) const {
    return !base_used[base] && std::ranges::all_of(children, [&](const Child& child) {
      return units[base ^ child.label].id_label == kLabelMask;
    });
  }

  // Searches the last blocks only: it keeps building linear and costs a few per cent of space.
  std::uint32_t place(const std::vector<Child>& children) {
    constexpr Index kSearchedBlocks = 16;
    const auto blocks = static_cast<Index>(units.size() / kBlock);
    open_block = std::max(open_block, blocks - kSearchedBlocks);
    for (auto at = static_cast<std::uint32_t>(open_block * kBlock); at < units.size(); ++at) {
      const std::uint32_t base = at ^ children.front().label;
      if (units[at].id_label == kLabelMask && fits(base, children)) return base;
    }
    add_block();
    return static_cast<std::uint32_t>(units.size() - kBlock);
  }

  std::vector<Child> children_of(const Node& node) const {
    std::vector<Child> children;
    for (Index at = node.begin; at < node.end; ++at) {
      const auto label = static_cast<unsigned char>(entries[at].bytes[node.depth]);
      if (children.empty() || children.back().label != label) children.push_back({label, at, at});
      children.back().end = at + 1;
    }
    return children;
  }

  // Breadth first: nodes near the root, which most texts visit, end up side by side. Returns the root's base.
  std::uint32_t build() {
    add_block();
    std::deque<Node> open{{0, static_cast<Index>(entries.size()), 0, 0}};
    std::uint32_t root = 0;
    while (!open.empty()) {
      const Node node = open.front();
      open.pop_front();
      const std::vector<Child> children = children_of(node);
      const std::uint32_t base = place(children);
      base_used[base] = true;
      (node.depth == 0 ? root : units[node.unit].base) = base;
      for (Child child : children) {
        const std::uint32_t unit = base ^ child.label;
        const bool ends = entries[child.begin].bytes.size() == node.depth + 1;
        const TokenId id = ends ? entries[child.begin].id : 0;
        units[unit].id_label = static_cast<std::uint32_t>(id) << kLabelBits | child.label;
        child.begin += ends;
        if (child.begin < child.end) open.push_back({child.begin, child.end, node.depth + 1, unit});
      }
    }
    return root;
  }
};

ByteTrie::ByteTrie(std::span<const Entry> entries) : pairs_(kBlock * kBlock), singles_(kBlock) {
  Builder builder{entries, units_, {}};
  const std::uint32_t root = builder.build();
  for (std::uint32_t first = 0; first < kBlock; ++first) {
    const Unit parent = units_[root ^ first];
    singles_[first] = static_cast<TokenId>(parent.id_label >> kLabelBits);
    RR_CHECK((parent.id_label & kLabelMask) == first && singles_[first] > 0, "the trie lacks byte ", first);
    for (std::uint32_t second = 0; second < kBlock; ++second) {
      const Unit unit = units_[parent.base ^ second];
      const bool there = (unit.id_label & kLabelMask) == second;
      const std::uint32_t id = there ? unit.id_label >> kLabelBits : 0;
      const std::uint32_t single = static_cast<std::uint32_t>(singles_[first]);
      pairs_[first << 8 | second] = {there ? unit.base : 0, id ? id << 2 | 2 : single << 2 | 1};
    }
  }
}

}  // namespace riverrun::text
