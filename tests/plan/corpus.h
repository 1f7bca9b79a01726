// Lengths for the tests of the plan.
#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "plan/plan.h"

namespace riverrun::plan {

constexpr Index kChunk = 16, kBlock = 64;

// Every length at which cutting could go wrong by one.
inline std::vector<Index> awkward_lengths() {
  return {0,          1,          kChunk - 1,     kChunk,     kChunk + 1,     kBlock - 1, kBlock, kBlock + 1,
          2 * kBlock - 1, 2 * kBlock, 2 * kBlock + 1, 5 * kBlock, 5 * kBlock + 1, 7,          0,      3 * kBlock};
}

// Mostly short, some long, some empty: from 1 to `most` tokens, evenly in the logarithm.
inline std::vector<Index> random_lengths(unsigned seed, Index documents, Index most) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> exponent(0, std::log(static_cast<double>(most)));
  std::vector<Index> lengths;
  for (Index d = 0; d < documents; ++d)
    lengths.push_back(random() % 16 == 0 ? 0 : static_cast<Index>(std::exp(exponent(random))));
  return lengths;
}

inline Options options_for(int ranks, Index block = kBlock, Index chunk = kChunk) {
  Options options;
  options.ranks = ranks;
  options.block_tokens = block;
  options.chunk_tokens = chunk;
  return options;
}

}  // namespace riverrun::plan
