// Random numbers: the published function, and draws that depend on nothing but what they are for.

#include "generate/random.h"

#include <gtest/gtest.h>

#include <set>

namespace riverrun::generate {
namespace {

using Words = std::array<std::uint32_t, 4>;

// The known answers published with the algorithm.
TEST(Philox, GivesThePublishedNumbers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Draws, DifferInEveryPartOfTheKey) {
  std::set<std::uint64_t> seen;
  for (const std::uint64_t seed : {0ull, 1ull, 1ull << 40}) {
    for (const char* document : {"", "a", "b", "ab"}) {
      for (const Index section : {0, 1, 70000}) {
        for (const Index position : {0, 1, 2}) seen.insert(Draws(seed, document_key(document), section).word(position));
      }
    }
  }
  EXPECT_EQ(seen.size(), 3u * 4 * 3 * 3);
}

TEST(Draws, AreUniform) {
  const Draws draws(42, document_key("document"), 3);
  constexpr int kBins = 20, kCount = 40000;
  std::array<int, kBins> bins{};
  for (Index i = 0; i < kCount; ++i) {
    ++bins.at(static_cast<std::size_t>(draws.word(i) / (~std::uint64_t{0} / kBins + 1)));
  }
  double chi_square = 0;
  for (const int count : bins) chi_square += (count - kCount / kBins) * double(count - kCount / kBins) / (kCount / kBins);
  EXPECT_LT(chi_square, 43.8);  // 19 degrees of freedom, 0.1 %
}

// Texts of earlier versions must come out again: these numbers were taken down once.
TEST(Draws, KeepTheirMeaning) {
  EXPECT_EQ(Draws(0, document_key(""), 0).word(0) >> 11, 0x16c2e3bfe16ad5);
  EXPECT_EQ(Draws(7, document_key("moby"), 2).word(5) >> 11, 0x132b43f8c2f676 >> 1);
}

}  // namespace
}  // namespace riverrun::generate
