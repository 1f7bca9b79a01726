// Ranks that NCCL connects, which is emulated, give a document's results in the same bits as one rank alone.
#include <gtest/gtest.h>

#include "tests/support/nccl_emulator/emulator.h"
#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"
#include "transport/ranks.h"

namespace riverrun {
namespace {

test::Corpus corpus() {
  test::Corpus documents;
  unsigned seed = 1;
  for (const Index length : {1, 64, 65, 130, 700, 2, 30, 300}) documents.push_back(test::random_tokens(length, seed++));
  return documents;
}

int compare() {
  kernels::KernelTable kernels = kernels::find_backend("auto");
  kernels.device = &nccl_emulator::gpu();  // whose memory carries travel from and to without a copy
  const auto model = test::make_small_model(kernels, "fp32");
  test::RingRun run;
  run.request.embedding = run.request.scores = run.request.states = true;
  run.request.window = 48;
  const auto expected = test::run_corpus(corpus(), *model, kernels, run);
  test::ResultCollector collector(corpus().size(), model->config().channels);
  transport::Options options;
  options.device = kernels.device;
  return transport::run_nccl(options, [&](transport::Transport& transport) {
    const auto plan = test::plan_corpus(corpus(), *model, transport.size(), run.block_tokens);
    test::run_rank(corpus(), plan, *model, kernels, run, transport, collector);
    if (transport.rank() != 0) return 0;
    const auto found = collector.results();
    EXPECT_EQ(found.size(), expected.size());
    for (std::size_t d = 0; d < found.size(); ++d) EXPECT_TRUE(same_bits(found[d], expected[d])) << "document " << d;
    return testing::UnitTest::GetInstance()->Failed() ? 1 : 0;
  });
}

TEST(NcclRing, GivesTheBitsOfOneRank) { EXPECT_EQ(compare(), 0); }

}  // namespace
}  // namespace riverrun

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
