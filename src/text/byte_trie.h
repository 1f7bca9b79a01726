// ByteTrie: the longest of many byte strings that a text starts with.
//
// A double array (Aoe 1989; the XOR form and the label check are those of Yata's darts-clone): the child of a
// node for byte c lies at unit base ^ c, and is there when that unit's label is c. One 8-byte load a byte,
// and a table for the first two bytes, keep the World vocabulary's hot paths in the first cache levels.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace riverrun::text {

class ByteTrie {
 public:
  static constexpr TokenId kMaxId = (1 << 23) - 1;

  struct Entry {
    std::string_view bytes;  // not empty
    TokenId id;              // 1 to kMaxId
  };
  // `entries` must be sorted by bytes, without duplicates, and hold every single byte.
  explicit ByteTrie(std::span<const Entry> entries);

  struct Match {
    TokenId id;
    const unsigned char* end;
  };
  // The longest entry that [at, end) starts with; at < end. There always is one.
  Match longest(const unsigned char* at, const unsigned char* end) const {
    if (end - at < 2) return {singles_[*at], at + 1};
    const Pair pair = pairs_[at[0] << 8 | at[1]];
    Match best{static_cast<TokenId>(pair.id_bytes >> 2), at + (pair.id_bytes & 3)};
    std::uint32_t base = pair.base;
    for (at += 2; at < end; ++at) {
      const Unit unit = units_[base ^ *at];
      if ((unit.id_label & kLabelMask) != *at) break;
      base = unit.base;
      const auto id = static_cast<TokenId>(unit.id_label >> kLabelBits);
      best = id ? Match{id, at + 1} : best;
    }
    return best;
  }

 private:
  static constexpr int kLabelBits = 9;  // one more than a byte, so that a free unit's label matches no byte
  static constexpr std::uint32_t kLabelMask = (1u << kLabelBits) - 1;
  static constexpr std::uint32_t kBlock = 256;

  struct Unit {
    std::uint32_t base = 0;  // block 0 stays free: a node without children finds nothing there
    std::uint32_t id_label = kLabelMask;
  };
  struct Pair {
    std::uint32_t base = 0;
    std::uint32_t id_bytes = 0;  // the best of the first two bytes: id << 2 | its length
  };

  struct Builder;

  std::vector<Unit> units_;
  std::vector<Pair> pairs_;
  std::vector<TokenId> singles_;
};

}  // namespace riverrun::text
