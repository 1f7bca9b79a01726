// Sampling: the distribution of the rwkv package, its penalties, and settings.

#include "generate/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/table.h"

namespace riverrun::generate {
namespace {

// Random numbers that are evenly spread give every token its share, to one draw. Backends draw alike (tests/kernels/draw_test.cc).
TEST(Sampling, GivesEveryTokenItsShareInThePackage) {
  const auto golden = nlohmann::json::parse(std::ifstream(std::string(RIVERRUN_TEST_DATA) + "/sampling.json"));
  const auto logits = golden["logits"].get<std::vector<float>>();
  const Index V = std::ssize(logits);
  const auto largest = static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
  ThreadPool pool(1);
  constexpr std::uint64_t kDraws = 20000;
  int cases = 0;
  for (const auto& test : golden["cases"]) {
    const Sampling sampling{.temperature = test["temperature"], .top_p = test["top_p"], .top_k = test["top_k"]};
    const auto p = test["p"].get<std::vector<double>>();
    SCOPED_TRACE(concat("temperature ", sampling.temperature, ", top_p ", sampling.top_p, ", top_k ", sampling.top_k));
    if (sampling.greedy()) {
      EXPECT_EQ(p.at(static_cast<std::size_t>(largest)), 1);
      continue;
    }
    ++cases;
    std::vector<double> seen(p.size());
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      const std::uint64_t random = ~std::uint64_t{0} / kDraws * i + ~std::uint64_t{0} / kDraws / 2;
      TokenId token = largest;
      kernels::find_backend("reference").draw({1, V, logits.data(), sampling.inverse_temperature(), sampling.top_p, sampling.top_k, &random, &token},
                                              host_stream(pool));
      ++seen.at(static_cast<std::size_t>(token));
    }
    for (std::size_t token = 0; token < p.size(); ++token) {
      const double expected = p[token] * kDraws;
      EXPECT_NEAR(seen[token], expected, expected == 0 ? 0 : 1 + 1e-5 * expected) << "token " << token;
    }
  }
  EXPECT_GE(cases, 8);
}

TEST(Sampling, InverseTemperatureIsFinite) {
  EXPECT_EQ((Sampling{.temperature = 4}.inverse_temperature()), 0.25f);
  EXPECT_EQ((Sampling{.temperature = 1e-300}.inverse_temperature()), std::numeric_limits<float>::max());
}

TEST(Sampling, IsGreedyWhereOnlyTheLargestCanCome) {
  for (const Sampling greedy : {Sampling{.temperature = 0}, Sampling{.temperature = 1, .top_p = 0}, Sampling{.temperature = 1, .top_k = 1}}) {
    EXPECT_TRUE(greedy.greedy());
  }
  EXPECT_FALSE((Sampling{.temperature = 1, .top_p = 0.1, .top_k = 2}.greedy()));
}

TEST(Sampling, SettingsOutOfRangeAreNamed) {
  for (const auto& [sampling, option] : {std::pair{Sampling{.temperature = -1}, "--temperature"}, {Sampling{.top_p = 1.5}, "--top-p"},
                                         {Sampling{.top_k = -1}, "--top-k"}, {Sampling{.decay = 2}, "--penalty-decay"},
                                         {Sampling{.presence = 1e9}, "--presence-penalty"}, {Sampling{.temperature = NAN}, "--temperature"}}) {
    try {
      check(sampling);
      FAIL() << option;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(option), std::string::npos) << error.what();
    }
  }
}

TEST(Occurrences, CountDecayAndPayPresence) {
  Occurrences occurrences;
  occurrences.add(3, true, 0.5);
  occurrences.add(4, false, 0.5);  // counts 0, but was there
  occurrences.add(3, true, 0.5);   // 1 * 0.5 * 0.5 + 1
  std::vector<float> logits(6, 10.0f);
  ASSERT_EQ(occurrences.size(), 2);
  TokenId tokens[2];
  float penalties[2];
  occurrences.list_penalties({.presence = 2, .frequency = 4}, tokens, penalties);
  for (int i = 0; i < 2; ++i) logits[tokens[i]] -= penalties[i];
  EXPECT_EQ(logits, (std::vector<float>{10, 10, 10, 10 - 2 - 4 * 1.25f, 8, 10}));
}

TEST(Occurrences, WhatCountsIsWhatThePackageCounts) {
  for (const char* text : {" ", "\t", "0", "12", "789", ""}) EXPECT_FALSE(counts_as_repetition(text)) << text;
  for (const char* text : {"21", "a", "  ", " 0"}) EXPECT_TRUE(counts_as_repetition(text)) << text;
}

}  // namespace
}  // namespace riverrun::generate
