// The forecast against the closed forms of docs/ring.md.
#include "plan/forecast.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/plan/corpus.h"

namespace riverrun::plan {
namespace {

// One token takes 1 second in one layer, a tenth of it in the recurrence.
Machine machine_of(double hop_seconds) {
  return {.layers = 12, .channels = 8, .state_bytes_per_layer = 1000, .flops_per_token = 12 * 0.9 * 100,
          .state_flops_per_token = 12 * 0.1 * 10, .flops_per_second = 100, .state_flops_per_second = 10,
          .hop_seconds = hop_seconds, .weight_bytes = 1'000'000, .activation_bytes_per_token = 100};
}

constexpr double kLayer = kBlock, kWhole = 12 * kLayer;  // c and L c, in seconds

Forecast lone_document(int ranks, Index blocks, double hop) {
  return make_forecast(make_plan({blocks * kBlock}, options_for(ranks)), machine_of(hop));
}

TEST(Forecast, OneDocumentOnUpToPMaxRanks) {
  const double hop = 3.2, lag = 0.1 * kLayer + hop;  // P_max = 12 / (0.1 + 0.05) = 80
  for (const int ranks : {1, 2, 7, 40}) {
    for (const Index rounds : {2, 5}) {
      const Forecast forecast = lone_document(ranks, rounds * ranks, hop);
      const double R = static_cast<double>(rounds);
      EXPECT_NEAR(forecast.seconds, R * kWhole + (ranks - 1) * lag, 1e-6 * kWhole) << ranks;
      EXPECT_NEAR(forecast.efficiency, 1 / (1 + (ranks - 1) * (0.1 + hop / kLayer) / (R * 12)), 1e-9) << ranks;
      EXPECT_NEAR(forecast.tokens_per_second * forecast.seconds, static_cast<double>(rounds * ranks * kBlock), 1e-6);
    }
  }
}

TEST(Forecast, MoreRanksThanPMaxGiveNoMoreSpeed) {
  const double hop = 32, lag = 0.1 * kLayer + hop;  // P_max = 12 / (0.1 + 0.5) = 20
  const Forecast at = lone_document(20, 200, hop), beyond = lone_document(40, 200, hop);
  EXPECT_NEAR(beyond.most_ranks, 20, 1e-9);
  EXPECT_NEAR(beyond.seconds, 199 * lag + kWhole, 1e-6 * kWhole);
  EXPECT_NEAR(at.seconds, beyond.seconds, 0.01 * at.seconds);
}

TEST(Forecast, FewerBlocksThanRanks) {
  const double hop = 3.2, lag = 0.1 * kLayer + hop;
  const Forecast forecast = lone_document(8, 3, hop);
  EXPECT_NEAR(forecast.seconds, 2 * lag + kWhole, 1e-6);
  EXPECT_LE(forecast.efficiency, 3.0 / 8);
}

TEST(Forecast, SharesBytesAndMemory) {
  const Forecast forecast = lone_document(2, 4, 6.4);
  EXPECT_NEAR(forecast.state_share, 0.1, 1e-12);
  EXPECT_NEAR(forecast.hop_share, 0.1, 1e-12);
  EXPECT_NEAR(forecast.most_ranks, 60, 1e-9);
  EXPECT_EQ(forecast.bytes_per_edge, 12'000);
  EXPECT_EQ(forecast.bytes_sent, 3 * 12'000);
  // One carry coming in; two going out, since rank 0 begins block 2 before rank 1 has ended block 1.
  EXPECT_EQ(forecast.memory_per_rank, 1'000'000 + 100 * kBlock + 3 * 12'000);
}

TEST(Forecast, OneRankSendsNothingAndLosesNothing) {
  const auto lengths = random_lengths(5, 50, 20 * kBlock);
  const Plan plan = make_plan(lengths, options_for(1));
  const Forecast forecast = make_forecast(plan, machine_of(100));
  EXPECT_EQ(forecast.bytes_sent, 0);
  EXPECT_NEAR(forecast.efficiency, 1, 1e-9);
  EXPECT_NEAR(forecast.seconds, 12.0 * static_cast<double>(plan.tokens), 1e-6 * forecast.seconds);
}

TEST(Forecast, ShortDocumentsNeedNoCarry) {
  const Forecast forecast = make_forecast(make_plan(std::vector<Index>(64, kBlock), options_for(4)), machine_of(50));
  EXPECT_EQ(forecast.bytes_sent, 0);
  EXPECT_NEAR(forecast.efficiency, 1, 1e-9);
  EXPECT_EQ(forecast.memory_per_rank, 1'000'000 + 100 * kBlock);
}

TEST(Forecast, AnEmptyPlanTakesNoTime) {
  const Forecast forecast = make_forecast(make_plan({0, 0}, options_for(4)), machine_of(1));
  EXPECT_EQ(forecast.seconds, 0);
  EXPECT_EQ(forecast.efficiency, 0);
  EXPECT_EQ(forecast.tokens_per_second, 0);
}

TEST(Forecast, WithoutRecurrenceAndHopThereIsNoLimit) {
  Machine machine = machine_of(0);
  machine.state_flops_per_token = 0;
  EXPECT_TRUE(std::isinf(make_forecast(make_plan({kBlock}, options_for(1)), machine).most_ranks));
}

}  // namespace
}  // namespace riverrun::plan
