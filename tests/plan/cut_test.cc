// Where documents are cut and how short ones share blocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "tests/plan/corpus.h"

namespace riverrun::plan {
namespace {

// The slices of each document in the order in which the plan starts them.
std::map<Index, std::vector<Slice>> slices_by_document(const Plan& plan) {
  std::map<Index, std::vector<Slice>> found;
  for (const Block& block : plan.blocks)
    for (const Slice& slice : block.slices) found[slice.document].push_back(slice);
  return found;
}

void expect_every_token_once(const Plan& plan, const std::vector<Index>& lengths) {
  const auto found = slices_by_document(plan);
  Index tokens = 0;
  for (Index document = 0; document < std::ssize(lengths); ++document) {
    tokens += lengths[document];
    Index next = 0;
    if (found.contains(document)) {
      for (const Slice& slice : found.at(document)) {
        ASSERT_EQ(slice.first_token, next) << "document " << document;
        ASSERT_GT(slice.tokens, 0);
        ASSERT_EQ(slice.first_token % plan.options.block_tokens, 0);
        next += slice.tokens;
        ASSERT_EQ(slice.last, next == lengths[document]);
      }
    }
    ASSERT_EQ(next, lengths[document]) << "document " << document;
  }
  EXPECT_EQ(plan.tokens, tokens);
}

void expect_blocks_within_limits(const Plan& plan, const std::vector<Index>& lengths) {
  for (const Block& block : plan.blocks) {
    ASSERT_FALSE(block.slices.empty());
    Index tokens = 0;
    for (const Slice& slice : block.slices) tokens += slice.tokens;
    ASSERT_EQ(block.tokens, tokens);
    ASSERT_LE(tokens, plan.options.block_tokens);
    ASSERT_LE(std::ssize(block.slices), plan.options.max_slices_per_block);
    for (const Slice& slice : block.slices) {
      if (lengths[slice.document] > plan.options.block_tokens) {
        ASSERT_EQ(block.slices.size(), 1u) << "a long document shares a block";
      } else {
        ASSERT_EQ(slice.tokens, lengths[slice.document]) << "a short document was cut";
      }
    }
  }
}

TEST(Cut, EveryTokenIsInExactlyOneBlockInOrder) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    const auto lengths = random_lengths(seed, 1 + seed * 3, 40 * kBlock);
    const Plan plan = make_plan(lengths, options_for(1 + static_cast<int>(seed % 9)));
    expect_every_token_once(plan, lengths);
    expect_blocks_within_limits(plan, lengths);
  }
}

// A document that goes on is cut where it was cut before, and nothing before its beginning is computed.
TEST(Cut, WhatIsLeftOfADocumentIsCutInTheSamePlaces) {
  for (const Sections sections : {Sections{}, Sections{100, 0}, Sections{100, 7}}) {
    for (unsigned seed = 0; seed < 20; ++seed) {
      const auto lengths = random_lengths(seed, 30, 40 * kBlock);
      Options options = options_for(1 + static_cast<int>(seed % 5));
      options.sections = sections;
      const auto whole = slices_by_document(make_plan(lengths, options));
      std::vector<Index> begins(lengths.size(), 0);
      Index tokens = 0;
      for (const auto& [document, slices] : whole) begins[document] = slices[(seed + document) % slices.size()].first_token;
      for (std::size_t d = 0; d < lengths.size(); ++d) tokens += lengths[d] - begins[d];
      const Plan plan = make_plan(lengths, options, begins);
      EXPECT_EQ(plan.tokens, tokens);
      EXPECT_EQ(find_deadlock(plan, 3, sections.tokens == 0 ? 2 : 4), "");
      const auto rest = slices_by_document(plan);
      for (const auto& [document, slices] : whole) {
        std::vector<std::pair<Index, Index>> expected, found;
        for (const Slice& slice : slices) if (slice.first_token >= begins[document]) expected.emplace_back(slice.first_token, slice.tokens);
        for (const Slice& slice : rest.at(document)) found.emplace_back(slice.first_token, slice.tokens);
        ASSERT_EQ(found, expected) << "document " << document;
      }
    }
  }
}

TEST(Cut, ABeginningInsideASliceIsRefused) {
  for (const Index begin : {Index{1}, kBlock - 1, kBlock + 1, 3 * kBlock, 3 * kBlock + 5, Index{-kBlock}}) {
    EXPECT_THROW(make_plan({3 * kBlock}, options_for(2), {begin}), Error) << begin;
  }
  EXPECT_THROW(make_plan({3 * kBlock}, options_for(2), {0, 0}), Error);
}

TEST(Cut, AwkwardLengthsAloneAndTogether) {
  for (int ranks : {1, 2, 3, 8}) {
    expect_every_token_once(make_plan(awkward_lengths(), options_for(ranks)), awkward_lengths());
    for (const Index length : awkward_lengths()) {
      const Plan plan = make_plan({length}, options_for(ranks));
      expect_every_token_once(plan, {length});
      EXPECT_EQ(std::ssize(plan.blocks), (length + kBlock - 1) / kBlock);
    }
  }
}

TEST(Cut, NothingGivesAnEmptyPlan) {
  for (const std::vector<Index>& lengths : {std::vector<Index>{}, std::vector<Index>{0}, std::vector<Index>(9, 0)}) {
    const Plan plan = make_plan(lengths, options_for(3));
    EXPECT_TRUE(plan.blocks.empty());
    EXPECT_EQ(plan.of_rank.size(), 3u);
    EXPECT_EQ(plan.makespan, 0);
    EXPECT_EQ(find_deadlock(plan, 2, 1), "");
  }
}

// Results are the same bytes for any number of ranks and in any corpus only if the cut is.
TEST(Cut, DependsOnTheDocumentAndTheBlockSizeAlone) {
  for (const Index length : {kBlock + 1, 2 * kBlock, 7 * kBlock + 5}) {
    const auto alone = slices_by_document(make_plan({length}, options_for(1)));
    for (unsigned seed = 0; seed < 20; ++seed) {
      auto corpus = random_lengths(seed, 30, 10 * kBlock);
      const Index at = seed % 31;
      corpus.insert(corpus.begin() + at, length);
      const auto together = slices_by_document(make_plan(corpus, options_for(1 + static_cast<int>(seed % 7))));
      const auto &expected = alone.at(0), &found = together.at(at);
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].first_token, expected[i].first_token);
        EXPECT_EQ(found[i].tokens, expected[i].tokens);
      }
    }
  }
}

// A section ends where a slice ends, and sections move no other cut further than to the next section's end.
TEST(Cut, EverySectionEndsWithASlice) {
  for (const Sections sections : {Sections{100, 0}, Sections{100, 7}, Sections{16, 0}, Sections{1000, 3}, Sections{64, 500}}) {
    for (const Index length : {1, 15, 16, 99, 100, 101, 107, 108, 207, 208, 5000}) {
      Options options;
      options.ranks = 3, options.block_tokens = 64, options.sections = sections;
      const Plan plan = make_plan({length, 40}, options);
      Index at = 0, next_end = sections.tokens;
      for (const Block& block : plan.blocks) {
        for (const Slice& slice : block.slices) {
          if (slice.document != 0) continue;
          ASSERT_EQ(slice.first_token, at);
          at += slice.tokens;
          EXPECT_LE(slice.tokens, options.block_tokens);
          EXPECT_LE(at, next_end) << "a slice goes beyond the end of a section";
          if (at == next_end) {
            next_end += sections.between + sections.tokens;
            continue;
          }
          EXPECT_TRUE(slice.last || slice.tokens == options.block_tokens) << "cut at " << at << " for no reason";
        }
      }
      EXPECT_EQ(at, length);
      EXPECT_EQ(find_deadlock(plan, 5, 2), "");
    }
  }
}

TEST(Pack, ShortDocumentsShareBlocksInInputOrder) {
  // A long document in between does not close the shared block.
  const Plan plan = make_plan({30, 20, 10, kBlock + 1, 4, 1, 63}, options_for(1));
  std::vector<std::vector<Index>> shared;
  for (const Block& block : plan.blocks) {
    if (block.slices[0].document == 3) continue;
    shared.emplace_back();
    for (const Slice& slice : block.slices) shared.back().push_back(slice.document);
  }
  std::sort(shared.begin(), shared.end());
  EXPECT_EQ(shared, (std::vector<std::vector<Index>>{{0, 1, 2, 4}, {5, 6}}));  // 30+20+10+4 = 64; 1+63 = 64
}

TEST(Pack, ABlockHoldsNoMoreSlicesThanItsLimit) {
  Options options = options_for(2);
  options.max_slices_per_block = 3;
  const std::vector<Index> lengths(10, 1);
  const Plan plan = make_plan(lengths, options);
  EXPECT_EQ(plan.blocks.size(), 4u);
  expect_blocks_within_limits(plan, lengths);
  expect_every_token_once(plan, lengths);
}

TEST(Options, WrongOnesAreInputErrors) {
  const auto with = [](auto change) {
    Options options = options_for(2);
    change(options);
    return options;
  };
  const std::vector<Options> wrong = {
      with([](Options& o) { o.ranks = 0; }),
      with([](Options& o) { o.block_tokens = 0; }),
      with([](Options& o) { o.block_tokens = -kChunk; }),
      with([](Options& o) { o.block_tokens = kChunk + 1; }),
      with([](Options& o) { o.chunk_tokens = 0; }),
      with([](Options& o) { o.max_slices_per_block = 0; }),
      with([](Options& o) { o.cost.layers = 0; }),
      with([](Options& o) { o.cost.state_percent = 101; }),
      with([](Options& o) { o.cost.hop = -1; }),
  };
  for (const Options& options : wrong) {
    try {
      make_plan({10}, options);
      ADD_FAILURE() << "accepted";
    } catch (const InputError& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
    }
  }
  EXPECT_THROW(make_plan({10, -1}, options_for(2)), InputError);
}

}  // namespace
}  // namespace riverrun::plan
