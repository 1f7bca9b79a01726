// Sampling: the distribution of the rwkv package, and its penalties.

#include "generate/sampling.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/thread_pool.h"
#include "generate/random.h"
#include "kernels/table.h"

namespace riverrun::generate {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TokenId draw(Sampler& sampler, std::vector<float> logits, const Sampling& sampling, double uniform) {
  TokenId largest = -77;
  ThreadPool pool(1);
  kernels::find_backend("reference").pick_largest({1, std::ssize(logits), logits.data(), 0, nullptr, nullptr, nullptr, nullptr, &largest},
                                                  host_stream(pool));
  return sampler.draw(logits, largest, sampling, uniform);
}

// The 99.9 % point of chi-square (Wilson and Hilferty).
double chi_square_limit(double degrees) {
  const double z = 3.09, a = 2 / (9 * degrees);
  return degrees * std::pow(1 - a + z * std::sqrt(a), 3);
}

TEST(Sampling, DrawsFromTheDistributionOfThePackage) {
  const auto golden = nlohmann::json::parse(std::ifstream(std::string(RIVERRUN_TEST_DATA) + "/sampling.json"));
  const auto logits = golden["logits"].get<std::vector<float>>();
  constexpr int kDraws = 100000;
  for (const auto& test : golden["cases"]) {
    const Sampling sampling{.temperature = test["temperature"], .top_p = test["top_p"], .top_k = test["top_k"]};
    const auto p = test["p"].get<std::vector<double>>();
    SCOPED_TRACE(test["temperature"].dump() + " " + test["top_p"].dump() + " " + test["top_k"].dump());
    std::vector<int> seen(p.size());
    Sampler sampler;
    const auto largest = static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
    const Draws draws(1, document_key("chi-square"), 0);
    for (Index i = 0; i < kDraws; ++i) ++seen.at(sampler.draw(logits, largest, sampling, draws.uniform(i)));
    double chi_square = 0, degrees = -1, rare_expected = 0, rare_seen = 0;
    const auto add = [&](double expected, double found) {
      chi_square += (found - expected) * (found - expected) / expected;
      ++degrees;
    };
    for (std::size_t token = 0; token < p.size(); ++token) {
      if (p[token] == 0) {
        EXPECT_EQ(seen[token], 0) << "token " << token;
      } else if (p[token] * kDraws < 10) {  // too rare for the approximation: counted together
        rare_expected += p[token] * kDraws, rare_seen += seen[token];
      } else {
        add(p[token] * kDraws, seen[token]);
      }
    }
    if (rare_expected >= 10) add(rare_expected, rare_seen);
    if (degrees > 0) {
      EXPECT_LT(chi_square, chi_square_limit(degrees));
    }
  }
}

// Half of all tokens in the cutoff's mass, so that several rounds of sorting are needed.
TEST(Sampling, FindsTheCutoffInALargeFlatVocabulary) {
  std::vector<float> logits(65536);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 40503) % 65536) * 1e-6f;
  Sampler sampler;
  const Draws draws(1, document_key("flat"), 0);
  const float median = 32768e-6f;
  double lowest = kInfinity;
  for (Index i = 0; i < 300; ++i) lowest = std::min<double>(lowest, logits[draw(sampler, logits, {.temperature = 1, .top_p = 0.5}, draws.uniform(i))]);
  EXPECT_GT(lowest, median - 0.02);
  EXPECT_LT(lowest, median + 0.02);
}

TEST(Sampling, KeepsTiesOfTopPButNotMoreThanTopK) {
  const std::vector<float> logits = {1, 3, 3, 3, 0};
  Sampler sampler;
  std::vector<int> p(5), k(5);
  for (int i = 0; i < 300; ++i) {
    ++p[draw(sampler, logits, {.temperature = 1, .top_p = 0.1}, i / 300.0)];
    ++k[draw(sampler, logits, {.temperature = 1, .top_p = 1, .top_k = 2}, i / 300.0)];
  }
  EXPECT_EQ(p, (std::vector<int>{0, 100, 100, 100, 0}));
  EXPECT_EQ(k, (std::vector<int>{0, 150, 150, 0, 0}));
}

TEST(Sampling, GreedyTakesTheFirstOfTheLargest) {
  Sampler sampler;
  for (const Sampling greedy : {Sampling{.temperature = 0}, Sampling{.temperature = 1, .top_p = 0}, Sampling{.temperature = 1, .top_k = 1}}) {
    EXPECT_EQ(draw(sampler, {1, 5, 5, -kInfinity}, greedy, 0.99), 1);
  }
}

TEST(Sampling, RefusesWhatIsNoDistribution) {
  Sampler sampler;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const double temperature : {0.0, 1.0}) {
    const Sampling sampling{.temperature = temperature};
    EXPECT_EQ(draw(sampler, {1, nan, 2}, sampling, 0.5), -1);
    EXPECT_EQ(draw(sampler, {nan}, sampling, 0.5), -1);
    EXPECT_EQ(draw(sampler, {1, kInfinity}, sampling, 0.5), -1);
    EXPECT_EQ(draw(sampler, {-kInfinity, -kInfinity}, sampling, 0.5), -1);
    EXPECT_EQ(draw(sampler, {-kInfinity, -3}, sampling, 0.5), 1);
  }
}

TEST(Sampling, ExtremeDrawsStayInside) {
  Sampler sampler;
  const std::vector<float> logits = {0, 0, 0, -kInfinity};
  EXPECT_EQ(draw(sampler, logits, {.temperature = 1}, 0.0), 0);
  EXPECT_EQ(draw(sampler, logits, {.temperature = 1}, std::nextafter(1.0, 0.0)), 2);
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
