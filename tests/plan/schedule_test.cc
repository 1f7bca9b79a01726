// Who takes which block, and when.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "tests/plan/corpus.h"

namespace riverrun::plan {
namespace {

Index layer_time(const Options& options, Index tokens) { return tokens + options.cost.block_overhead; }

Index lag(const Options& options, Index tokens) {
  const Index layer = layer_time(options, tokens);
  return std::min((layer * options.cost.state_percent + 99) / 100 + options.cost.hop, options.cost.layers * layer);
}

Index work(const Plan& plan) {
  Index sum = 0;
  for (const Block& block : plan.blocks) sum += plan.options.cost.layers * layer_time(plan.options, block.tokens);
  return sum;
}

bool same(const Plan& a, const Plan& b) {
  if (a.blocks.size() != b.blocks.size() || a.of_rank != b.of_rank || a.makespan != b.makespan) return false;
  for (std::size_t i = 0; i < a.blocks.size(); ++i) {
    const Block &x = a.blocks[i], &y = b.blocks[i];
    if (x.rank != y.rank || x.start != y.start || x.end != y.end || x.edge_in != y.edge_in ||
        x.edge_out != y.edge_out || x.slices.size() != y.slices.size()) return false;
    for (std::size_t s = 0; s < x.slices.size(); ++s)
      if (x.slices[s].document != y.slices[s].document || x.slices[s].first_token != y.slices[s].first_token)
        return false;
  }
  return true;
}

void expect_linked(const Plan& plan, Index number) {
  const Block& block = plan.blocks[number];
  ASSERT_EQ(block.next >= 0, !block.slices.back().last);
  ASSERT_EQ(block.previous >= 0, block.slices.front().first_token > 0);
  ASSERT_EQ(block.edge_in >= 0, block.previous >= 0);
  ASSERT_EQ(block.edge_out >= 0, block.next >= 0);
  if (block.previous < 0) return;
  const Block& before = plan.blocks[block.previous];
  ASSERT_EQ(before.next, number);
  ASSERT_EQ(before.next_rank, block.rank);
  ASSERT_EQ(before.rank, block.previous_rank);
  ASSERT_EQ(before.edge_out, block.edge_in);
  ASSERT_EQ(before.slices[0].document, block.slices[0].document);
  ASSERT_EQ(before.slices[0].first_token + before.tokens, block.slices[0].first_token);
  ASSERT_LT(block.previous, number);
}

void expect_possible(const Plan& plan) {
  std::vector<Index> free_at(plan.of_rank.size(), 0);
  std::set<Index> edges;
  Index makespan = 0, start = 0;
  std::vector<std::size_t> next_of(plan.of_rank.size(), 0);
  for (Index number = 0; number < std::ssize(plan.blocks); ++number) {
    const Block& block = plan.blocks[number];
    ASSERT_NO_FATAL_FAILURE(expect_linked(plan, number));
    ASSERT_EQ(plan.of_rank[block.rank][next_of[block.rank]++], number) << "list and blocks disagree";
    ASSERT_GE(block.start, start) << "blocks are not in order of start";
    start = block.start;
    ASSERT_GE(block.start, free_at[block.rank]);
    const Index end = block.start + plan.options.cost.layers * layer_time(plan.options, block.tokens);
    if (block.previous >= 0) {
      const Block& before = plan.blocks[block.previous];
      ASSERT_TRUE(edges.insert(block.edge_in).second) << "an edge used twice";
      ASSERT_GE(block.start, before.start + lag(plan.options, before.tokens));
      ASSERT_GE(end, before.end + lag(plan.options, before.tokens)) << "would stall in its last layer";
    }
    ASSERT_EQ(block.end, end);
    free_at[block.rank] = end;
    makespan = std::max(makespan, end);
  }
  EXPECT_EQ(plan.makespan, makespan);
  EXPECT_EQ(std::ssize(edges), plan.edges);
  EXPECT_TRUE(edges.empty() || *edges.rbegin() == plan.edges - 1);
}

TEST(Schedule, IsPossibleAndLinkedForRandomCorpora) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    Options options = options_for(1 + static_cast<int>(seed % 17));
    options.cost = {.layers = 1 + static_cast<Index>(seed % 24), .block_overhead = static_cast<Index>(seed % 50),
                    .hop = static_cast<Index>(seed % 5) * 40, .state_percent = static_cast<Index>(seed * 7 % 101)};
    expect_possible(make_plan(random_lengths(seed, 1 + seed % 60, 30 * kBlock), options));
    if (HasFatalFailure()) FAIL() << "seed " << seed;
  }
}

TEST(Schedule, IsTheSameOnEveryRank) {
  const auto lengths = random_lengths(3, 400, 50 * kBlock);
  EXPECT_TRUE(same(make_plan(lengths, options_for(7)), make_plan(lengths, options_for(7))));
  EXPECT_FALSE(same(make_plan(lengths, options_for(7)), make_plan(lengths, options_for(8))));
}

// No rank may idle for long while there is work: W/P <= T <= W/P + the longest chain.
TEST(Schedule, StaysWithinTheBoundOfAListSchedule) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    const int ranks = 1 + static_cast<int>(seed % 13);
    const auto lengths = random_lengths(seed, 20 + seed, 60 * kBlock);
    const Plan plan = make_plan(lengths, options_for(ranks));
    const Index full = plan.options.cost.layers * layer_time(plan.options, kBlock);
    Index longest = full;
    for (const Index length : lengths) {
      const Index blocks = (length + kBlock - 1) / kBlock;
      longest = std::max(longest, (blocks - 1) * lag(plan.options, kBlock) + full);
    }
    EXPECT_GE(plan.makespan * ranks, work(plan)) << "seed " << seed;
    EXPECT_LE(plan.makespan, work(plan) / ranks + longest) << "seed " << seed;
  }
}

TEST(Schedule, ALoneDocumentGoesRoundTheRing) {
  // P_max = 12 * 96 / (10 + 16) = 44 here.
  for (const int ranks : {1, 2, 3, 5, 8, 44}) {
    for (const Index blocks : {Index{1}, Index{ranks - 1}, Index{ranks}, Index{ranks + 1}, Index{4 * ranks + 3}}) {
      if (blocks < 2) continue;
      const Plan plan = make_plan({blocks * kBlock - 1}, options_for(ranks));
      ASSERT_EQ(std::ssize(plan.blocks), blocks);
      for (Index b = 0; b < blocks; ++b) EXPECT_EQ(plan.blocks[b].rank, b % ranks) << ranks << " ranks, block " << b;
    }
  }
}

TEST(Schedule, ALoneDocumentTakesTheTimeOfTheClosedForm) {
  const Options base = options_for(1);
  const Index layer = layer_time(base, kBlock), block = base.cost.layers * layer, delta = lag(base, kBlock);
  const auto makespan = [](int ranks, Index blocks) { return make_plan({blocks * kBlock}, options_for(ranks)).makespan; };
  for (const int ranks : {1, 2, 5, 44}) {  // P delta <= L c, whole rounds
    for (const Index rounds : {2, 3, 10})
      EXPECT_EQ(makespan(ranks, rounds * ranks), rounds * block + (ranks - 1) * delta) << ranks << " ranks";
  }
  for (const int ranks : {45, 60, 200}) EXPECT_EQ(makespan(ranks, 500), 499 * delta + block);  // P delta > L c
  for (const Index blocks : {2, 3, 7}) EXPECT_EQ(makespan(8, blocks), (blocks - 1) * delta + block);  // n < P
}

TEST(Schedule, StartedDocumentsComeFirstThenTheLongest) {
  // One rank: documents one after another, longest first, equal ones by number; short ones come last.
  const Plan plan = make_plan({3, 2 * kBlock, 5 * kBlock, 5 * kBlock, 10}, options_for(1));
  std::vector<Index> order;
  for (const Index b : plan.of_rank[0])
    if (plan.blocks[b].slices[0].first_token == 0) order.push_back(plan.blocks[b].slices[0].document);
  EXPECT_EQ(order, (std::vector<Index>{2, 3, 1, 0}));
  for (std::size_t i = 1; i < 5; ++i) EXPECT_EQ(plan.blocks[i].slices[0].document, 2) << "left a started document";
}

TEST(Schedule, AMixedCorpusKeepsTheRanksBusy) {
  auto lengths = random_lengths(1, 3000, 300 * kBlock);
  lengths.push_back(2000 * kBlock);
  for (const int ranks : {8, 64}) {
    const Plan plan = make_plan(lengths, options_for(ranks));
    EXPECT_GT(static_cast<double>(work(plan)) / (static_cast<double>(plan.makespan) * ranks), 0.97) << ranks;
  }
}

// The short last block of a document must not hold a rank that could compute something else meanwhile.
TEST(Schedule, DocumentsJustLongerThanABlockKeepTheRanksBusy) {
  const Plan plan = make_plan(std::vector<Index>(1000, kBlock + 2), options_for(8));
  EXPECT_GT(static_cast<double>(work(plan)) / (static_cast<double>(plan.makespan) * 8), 0.97);
}

// Planning is done by every rank before the first token: it must not be felt. The limit is generous, for builds with
// sanitizers; what grows with the square of the number would take hours.
TEST(Schedule, IsFastForManyDocumentsAndForLongOnes) {
  const auto seconds = [](const std::vector<Index>& lengths, int ranks) {
    const auto begin = std::chrono::steady_clock::now();
    const Plan plan = make_plan(lengths, options_for(ranks));
    EXPECT_EQ(find_deadlock(plan, 3, 2), "");
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const double many = seconds(std::vector<Index>(200'000, 50), 64);
  const double chains = seconds(std::vector<Index>(50, 1000 * kBlock), 64);
  RecordProperty("seconds_of_200000_documents", std::to_string(many));
  RecordProperty("seconds_of_50000_chained_blocks", std::to_string(chains));
  EXPECT_LT(many, 20);
  EXPECT_LT(chains, 20);
}

}  // namespace
}  // namespace riverrun::plan
