// Bpe: byte-pair encoding of single words (Sennrich et al., arXiv:1508.07909, over bytes).
//
// A word starts as one symbol per byte. Among all pairs of neighbours that can be merged the one of the
// lowest rank is (the leftmost of several), until none is left.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace riverrun::text {

class Bpe {
 public:
  static constexpr TokenId kNoToken = -1;
  static constexpr std::size_t kMostMerges = std::size_t{1} << 22;

  struct Merge {
    TokenId left, right, merged;
  };
  // `bytes`: the token of each byte, or kNoToken. `merges` in the order of their ranks, none of them twice,
  // at most kMostMerges.
  Bpe(const std::array<TokenId, 256>& bytes, std::span<const Merge> merges);

  // Working memory of encode, which keeps what it once took: some 30 bytes per byte of the longest word.
  class Workspace {
    friend class Bpe;
    std::vector<TokenId> ids;
    std::vector<std::uint32_t> sizes;
    std::vector<std::uint64_t> queue;
  };

  // Appends the tokens of `word`, whose bytes must all have a token. Takes n log n steps for n bytes,
  // whatever they are. May be called from several threads, each with its own workspace.
  void encode(std::string_view word, Workspace& workspace, std::vector<TokenId>& out) const;

 private:
  struct Slot {
    std::uint64_t pair = ~std::uint64_t{0};  // left << 32 | right; all ones: free
    std::uint32_t rank = 0;
    TokenId merged = 0;
  };

  const Slot* find(TokenId left, TokenId right) const;
  void push(Workspace& workspace, std::size_t at, std::size_t right) const;

  std::array<TokenId, 256> bytes_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  int shift_ = 0;
};

}  // namespace riverrun::text
