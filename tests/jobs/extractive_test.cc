// Which passages are chosen, for vectors where the answer can be worked out by hand.

#include "jobs/texts/extractive.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "core/error.h"

namespace riverrun::jobs {
namespace {

using Rows = std::vector<float>;
using Chosen = std::vector<Index>;

// Written down from the definition, every cosine anew: O(K^2 w D).
Chosen by_definition(const Rows& values, Index width, Index count, double lambda) {
  const Index rows = std::ssize(values) / width;
  const auto cosine = [&](const auto& a, Index i, const auto& b, Index j) {
    double ab = 0, aa = 0, bb = 0;
    for (Index d = 0; d < width; ++d) {
      const double x = a[i * width + d], y = b[j * width + d];
      ab += x * y, aa += x * x, bb += y * y;
    }
    return aa > 0 && bb > 0 ? ab / std::sqrt(aa) / std::sqrt(bb) : 0;
  };
  std::vector<double> mean(width);
  for (Index i = 0; i < rows * width; ++i) mean[i % width] += values[i] / static_cast<double>(rows);
  Chosen chosen;
  while (std::ssize(chosen) < std::min(count, rows)) {
    std::vector<double> gains;
    for (Index i = 0; i < rows; ++i) {
      double redundancy = chosen.empty() ? 0 : -2;
      for (const Index j : chosen) redundancy = std::max(redundancy, cosine(values, i, values, j));
      const bool taken = std::count(chosen.begin(), chosen.end(), i) > 0;
      gains.push_back(taken ? -9 : lambda * cosine(values, i, mean, 0) - (1 - lambda) * redundancy);
    }
    chosen.push_back(std::max_element(gains.begin(), gains.end()) - gains.begin());
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

TEST(Extractive, RelevanceFirstThenWhatIsNew) {
  // Three windows on one theme (x), two on another (y). The most typical is one of x; the second choice is not its
  // copy but the other theme, unless relevance is all that counts.
  const Rows rows = {1, 0, 1, 0, 1, 0.1f, 0, 1, 0, 1};
  EXPECT_EQ(choose_passages(rows, 2, 1), Chosen{2});
  EXPECT_EQ(choose_passages(rows, 2, 2, 0.5), (Chosen{2, 3}));
  EXPECT_EQ(choose_passages(rows, 2, 2, 1.0), (Chosen{0, 2}));
}

TEST(Extractive, TheyComeInDocumentOrder) {
  const Rows rows = {0.1f, 1, 0, 1, 5, 5};  // chosen as 2 and then 0 or 1
  EXPECT_EQ(choose_passages(rows, 2, 1), Chosen{2});
  EXPECT_EQ(choose_passages(rows, 2, 2), (Chosen{0, 2}));
}

TEST(Extractive, AskedForAsManyAsThereAreOrMoreItGivesAll) {
  const Rows rows = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(choose_passages(rows, 2, 3), (Chosen{0, 1, 2}));
  EXPECT_EQ(choose_passages(rows, 2, 1000), (Chosen{0, 1, 2}));
  EXPECT_EQ(choose_passages(Rows{-4}, 1, 3), Chosen{0});
  EXPECT_EQ(choose_passages(Rows{}, 4, 3), Chosen{});
  EXPECT_EQ(choose_passages(rows, 2, 0), Chosen{});
}

TEST(Extractive, TiesGoToTheLowerIndex) {
  EXPECT_EQ(choose_passages(Rows{3, 1, 3, 1, 3, 1, 3, 1}, 2, 2), (Chosen{0, 1}));
  EXPECT_EQ(choose_passages(Rows{1, 0, -1, 0, 1, 0, -1, 0}, 2, 2), (Chosen{0, 1}));  // a mean of zeros
}

TEST(Extractive, ZerosAreNeitherRelevantNorRedundant) {
  EXPECT_EQ(choose_passages(Rows(12), 3, 2), (Chosen{0, 1}));
  EXPECT_EQ(choose_passages(Rows{0, 0, 1, 1, 1, 1}, 2, 1), Chosen{1});
  // Second choice at lambda 0.4: a copy is worth 0.4 - 0.6, zeros nothing.
  EXPECT_EQ(choose_passages(Rows{0, 0, 1, 1, 1, 1}, 2, 2, 0.4), (Chosen{0, 1}));
  EXPECT_EQ(choose_passages(Rows{0, 0, 1, 1, 1, 1}, 2, 2, 0.6), (Chosen{1, 2}));
}

TEST(Extractive, VeryLargeAndVerySmallVectorsCount) {
  const float large = std::numeric_limits<float>::max(), small = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(choose_passages(Rows{0, small, large, large, large, large}, 2, 2, 0.5), (Chosen{0, 1}));
}

TEST(Extractive, WhatIsNoNumberIsRefused) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (std::size_t at = 0; at < 6; ++at) {
      Rows rows = {1, 2, 3, 4, 5, 6};
      rows[at] = bad;
      EXPECT_THROW(choose_passages(rows, 2, 1), Error) << at;
    }
  }
  EXPECT_THROW(choose_passages(Rows(5), 2, 1), Error);
  EXPECT_THROW(choose_passages(Rows(4), 0, 1), Error);
  EXPECT_THROW(choose_passages(Rows(4), 2, -1), Error);
  EXPECT_THROW(choose_passages(Rows(4), 2, 1, 1.5), Error);
  EXPECT_THROW(choose_passages(Rows(4), 2, 1, std::numeric_limits<double>::quiet_NaN()), Error);
}

TEST(Extractive, AgreesWithTheDefinition) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (int trial = 0; trial < 200; ++trial) {
    const Index width = 2 + trial % 17, count = 1 + trial % 11;  // with 1 all cosines are 1 or -1: ties
    Rows rows(static_cast<std::size_t>(width * (1 + trial % 29)));
    for (float& value : rows) value = normal(random) + 0.5f;
    const double lambda = trial % 4 / 4.0 + 0.1;
    EXPECT_EQ(choose_passages(rows, width, count, lambda), by_definition(rows, width, count, lambda)) << trial;
  }
}

}  // namespace
}  // namespace riverrun::jobs
