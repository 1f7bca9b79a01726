// Plans whose messages can, and cannot, all be delivered.
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/plan/corpus.h"

namespace riverrun::plan {
namespace {

// A plan made by hand: chains[d] are the ranks of document d's blocks; the lists give the order of the blocks,
// which are numbered chain after chain.
Plan plan_of(const std::vector<std::vector<int>>& chains, std::vector<std::vector<Index>> of_rank) {
  Plan plan;
  plan.options = options_for(static_cast<int>(of_rank.size()));
  plan.of_rank = std::move(of_rank);
  for (Index document = 0; document < std::ssize(chains); ++document) {
    for (std::size_t i = 0; i < chains[document].size(); ++i) {
      const Index number = std::ssize(plan.blocks);
      Block block;
      block.rank = chains[document][i];
      block.tokens = kBlock;
      block.slices = {{document, static_cast<Index>(i) * kBlock, kBlock, i + 1 == chains[document].size()}};
      if (i > 0) {
        Block& before = plan.blocks.back();
        before.next = number, before.next_rank = block.rank, before.edge_out = plan.edges;
        block.previous = number - 1, block.previous_rank = before.rank, block.edge_in = plan.edges++;
      }
      plan.blocks.push_back(block);
    }
  }
  return plan;
}

TEST(Deadlock, NoneInRandomPlans) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    Options options = options_for(1 + static_cast<int>(seed % 19));
    options.cost = {.layers = 1 + static_cast<Index>(seed % 24), .block_overhead = static_cast<Index>(seed % 50),
                    .hop = static_cast<Index>(seed % 5) * 40, .state_percent = static_cast<Index>(seed * 7 % 101)};
    const Plan plan = make_plan(random_lengths(seed, 1 + seed % 80, 30 * kBlock), options);
    EXPECT_EQ(find_deadlock(plan, 1 + seed % 40, 2), "") << "seed " << seed;
  }
}

TEST(Deadlock, ABlockBeforeTheOneItContinuesIsFound) {
  const Plan plan = plan_of({{0, 1, 0}}, {{2, 0}, {1}});
  const std::string found = find_deadlock(plan, 3, 2);
  EXPECT_NE(found.find("rank 0 in block 2 waits for rank 1 to send edge 1"), std::string::npos) << found;
  EXPECT_NE(found.find("rank 1 in block 1 waits for rank 0 to send edge 0"), std::string::npos) << found;
}

TEST(Deadlock, ARankThatWaitsForItselfIsFound) {
  const std::string found = find_deadlock(plan_of({{0, 0}}, {{1, 0}}), 1, 2);
  EXPECT_EQ(found, "rank 0 in block 1 waits for rank 0 to send edge 0 (message 0)");
}

TEST(Deadlock, AMissingBlockIsFound) {
  const std::string found = find_deadlock(plan_of({{0, 1}}, {{}, {1}}), 1, 2);
  EXPECT_EQ(found, "rank 1 in block 1 waits for rank 0 to send edge 0 (message 0), which has ended");
}

// Two documents that overtake each other need a sender that can hold the first while it computes the second.
TEST(Deadlock, OvertakingNeedsACarryHeld) {
  const Plan plan = plan_of({{0, 1}, {0, 1}}, {{0, 2}, {3, 1}});
  const std::string found = find_deadlock(plan, 2, 1);
  EXPECT_EQ(found, "rank 0 in block 2 waits for rank 1 to take edge 0; "
                   "rank 1 in block 3 waits for rank 0 to send edge 1 (message 0)");
  EXPECT_EQ(find_deadlock(plan, 2, 2), "");
}

// The defect of a ring with blocking sends: at the wrap-around every rank is sending and none receives.
TEST(Deadlock, SendsThatWaitForTheirReceiveStallAtTheWrapAround) {
  for (const int ranks : {2, 3, 5}) {
    const Plan round = make_plan({ranks * kBlock}, options_for(ranks));
    const Plan wraps = make_plan({(ranks + 1) * kBlock}, options_for(ranks));
    EXPECT_EQ(find_deadlock(round, 24, 0), "");
    EXPECT_NE(find_deadlock(wraps, 24, 0), "") << ranks;
    EXPECT_EQ(find_deadlock(wraps, 24, 1), "") << ranks;
  }
}

}  // namespace
}  // namespace riverrun::plan
