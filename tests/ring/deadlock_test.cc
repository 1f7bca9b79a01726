// Plans that wait crosswise: a rank must not insist on the oldest of its carries being taken first.

#include <gtest/gtest.h>

#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

TEST(CrossedWaits, AOneLayerModelOnFourRanksEnds) {
  // Found by search: with two carries held, rank 3 keeps one that rank 1 comes to late, and rank 1 needs rank 3.
  const test::Corpus corpus = test::random_corpus({3135, 1371, 75, 41, 103, 105, 225, 282, 126, 91, 265, 304, 9, 71, 166, 150, 41, 239, 219, 79, 365});
  auto shape = test::small_shape();
  shape.layers = 1;
  const auto& kernels = kernels::find_backend("auto");
  const auto model = test::make_small_model(kernels, "fp32", shape);
  test::RingRun run;
  run.request.embedding = true;
  const auto one = run_corpus(corpus, *model, kernels, run);
  run.ranks = 4, run.timeout_seconds = 30;
  const auto four = run_corpus(corpus, *model, kernels, run);
  expect_same_bits(four, one, "four ranks");
}

}  // namespace
}  // namespace riverrun
