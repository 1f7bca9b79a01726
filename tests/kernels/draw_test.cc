// Drawing: whole weights, what can come, and the same token from every backend.
#include "kernels/draw.h"

#include "support.h"

namespace riverrun::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::uint64_t kMost = ~std::uint64_t{0};

struct Settings {
  float temperature = 1;
  double top_p = 1;
  Index top_k = 0;
};

class DrawTest : public testing::TestWithParam<Variant> {};

// A token for each of the random numbers, from as many rows of logits.
std::vector<TokenId> draw(const KernelTable& table, const std::vector<float>& logits, const Settings& settings,
                          const std::vector<std::uint64_t>& random) {
  Threads pool(3);
  const Index M = std::ssize(random), V = std::ssize(logits) / M;
  std::vector<TokenId> tokens(random.size(), -77);
  auto rows = logits;
  oracle().pick_largest({M, V, rows.data(), 0, nullptr, nullptr, nullptr, nullptr, tokens.data()}, pool);
  table.draw({M, V, logits.data(), 1 / settings.temperature, settings.top_p, settings.top_k, random.data(), tokens.data()}, pool);
  return tokens;
}

// From the same row for each.
std::vector<TokenId> draw_often(const KernelTable& table, const std::vector<float>& row, const Settings& settings,
                                const std::vector<std::uint64_t>& random) {
  std::vector<float> rows;
  for (std::size_t i = 0; i < random.size(); ++i) rows.insert(rows.end(), row.begin(), row.end());
  return draw(table, rows, settings, random);
}

// Numbers in the middle of equal parts of all that a random number can be.
std::vector<std::uint64_t> evenly(std::uint64_t count) {
  std::vector<std::uint64_t> random;
  for (std::uint64_t i = 0; i < count; ++i) random.push_back(kMost / count * i + kMost / count / 2);
  return random;
}

std::vector<std::uint64_t> any_numbers(std::size_t count, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::vector<std::uint64_t> random = {0, kMost};
  while (random.size() < count) random.push_back(engine());
  random.resize(count);
  return random;
}

TEST(DrawWeights, AreExponentials) {
  EXPECT_EQ(weight_at(0), std::uint64_t{1} << 40);
  for (const float distance : {28.0f, 1e30f, kInfinity, kNaN}) EXPECT_EQ(weight_at(distance), 0u);
  for (float distance = 0x1p-30f; distance < 28; distance *= 1.0007f) {
    const double expected = std::exp(-double{distance}) * 0x1p40;
    EXPECT_NEAR(static_cast<double>(weight_at(distance)), expected, 3e-8 * expected + 1) << distance;
  }
}

TEST(DrawWeights, ShareIsThatOfTheProduct) {
  __extension__ typedef unsigned __int128 Wide;
  std::mt19937_64 engine(3);
  for (int i = 0; i < 3000; ++i) {
    const std::uint64_t random = i == 0 ? kMost : engine(), sum = engine() >> (i % 64);
    EXPECT_EQ(share_of(random, sum), static_cast<std::uint64_t>(Wide{random} * sum >> 64)) << random << ", " << sum;
  }
}

TEST(DrawWeights, WantedMassIsRoundedUpAndNeverMoreThanThereIs) {
  EXPECT_EQ(mass_wanted(1000, 0.5), 500u);
  EXPECT_EQ(mass_wanted(1001, 0.5), 501u);
  EXPECT_EQ(mass_wanted(1000, 1e-300), 1u);
  EXPECT_EQ(mass_wanted(1000, 1), 1000u);
  std::mt19937_64 engine(3);
  for (int i = 0; i < 30000; ++i) {
    const std::uint64_t near_power = (std::uint64_t{1} << (i % 63)) + engine() % 4096 - 2048, mass = i % 2 == 0 ? near_power >> 1 : engine() >> (1 + i % 60);
    if (mass == 0) continue;
    const std::uint64_t wanted = mass_wanted(mass, std::nextafter(1.0, 0.0));
    EXPECT_LE(wanted, mass);
    EXPECT_GE(wanted, mass - (mass >> 51));
  }
}

TEST_P(DrawTest, AgreesWithTheReference) {
  const auto& table = select(GetParam());
  const std::vector<Settings> all = {{}, {0.3f}, {30}, {1, 0.9}, {0.5f, 0.2}, {2, 0.999999}, {1, 1e-9}, {1, 1, 1}, {1, 1, 5}, {5, 1, 40},
                                     {1, 0.5, 3}, {0.7f, 0.95, 500}, {1, 1, 100000}, {1, std::nextafter(1.0, 0.0)}, {1e-30f}};
  for (const Index V : {1, 2, 15, 16, 17, 33, 256, 511, 513, 1000, 4099}) {
    Random random(static_cast<unsigned>(V));
    constexpr std::size_t kRows = 7;
    auto logits = random.normals(static_cast<Index>(kRows) * V, 6);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (i / V % 2 == 1) logits[i] = std::round(logits[i]);  // many are equal
      if (i / V == 4 && i % V != 0) logits[i] = -kInfinity;
      if (i / V == 5) logits[i] *= 1e30f;
      if (i / V == 6) logits[i] = i % 3 == 0 ? 0.0f : -0.0f;
    }
    for (const Settings& settings : all) {
      const auto numbers = any_numbers(kRows, static_cast<unsigned>(V + settings.top_k));
      EXPECT_EQ(draw(table, logits, settings, numbers), draw(oracle(), logits, settings, numbers))
          << "V " << V << ", temperature " << settings.temperature << ", top_p " << settings.top_p << ", top_k " << settings.top_k;
    }
  }
  Threads pool(2);
  table.draw({0, 5, nullptr, 1, 0.5, 2, nullptr, nullptr}, pool);  // no rows: nothing is read
}

TEST_P(DrawTest, AgreesWithTheReferenceOnAWholeVocabulary) {
  const auto& table = select(GetParam());
  constexpr Index kV = 65536;
  const auto numbers = any_numbers(2, 4);
  for (const float deviation : {1e-6f, 3.0f}) {  // flat, so that half of all tokens are in half of the mass, and as models give it
    const auto logits = Random(5).normals(2 * kV, deviation);
    for (const Settings& settings : {Settings{}, {1, 0.5}, {0.8f, 0.95, 30000}}) {
      EXPECT_EQ(draw(table, logits, settings, numbers), draw(oracle(), logits, settings, numbers)) << settings.top_p;
    }
  }
}

// Half of the mass of a flat row is in half of its tokens, the likelier ones, each of which comes.
TEST_P(DrawTest, CutsAFlatRowInTheMiddle) {
  std::vector<float> logits(64);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 29 % 64) * 1e-6f;
  std::vector<bool> came(64), expected(64);
  for (const TokenId token : draw_often(select(GetParam()), logits, {1, 0.5}, evenly(64))) came[static_cast<std::size_t>(token)] = true;
  for (std::size_t i = 0; i < logits.size(); ++i) expected[i] = logits[i] > 31.5e-6f;
  EXPECT_EQ(came, expected);
}

TEST_P(DrawTest, KeepsTiesOfTopPButNotMoreThanTopK) {
  const auto& table = select(GetParam());
  const std::vector<float> logits = {1, 3, 3, 3, 0};
  const auto counts = [&](const Settings& settings) {
    std::vector<int> seen(5);
    for (const TokenId token : draw_often(table, logits, settings, evenly(30))) ++seen.at(static_cast<std::size_t>(token));
    return seen;
  };
  EXPECT_EQ(counts({1, 0.1}), (std::vector<int>{0, 10, 10, 10, 0}));
  EXPECT_EQ(counts({1, 1, 2}), (std::vector<int>{0, 15, 15, 0, 0}));
  EXPECT_EQ(counts({1, 0.1, 2}), (std::vector<int>{0, 15, 15, 0, 0}));
  EXPECT_EQ(counts({1, 1, 3}), (std::vector<int>{0, 10, 10, 10, 0}));
}

TEST_P(DrawTest, TheFirstAndTheLastNumberStayInside) {
  const auto& table = select(GetParam());
  EXPECT_EQ(draw_often(table, {-kInfinity, 0, 0, 0, -kInfinity}, {}, {0, kMost}), (std::vector<TokenId>{1, 3}));
  EXPECT_EQ(draw_often(table, {-kInfinity, -3}, {}, {0, kMost}), (std::vector<TokenId>{1, 1}));
  EXPECT_EQ(draw_often(table, {7}, {}, {0, kMost}), (std::vector<TokenId>{0, 0}));
}

TEST_P(DrawTest, RowsWithoutATokenKeepNone) {
  const std::vector<float> logits = {1, kNaN, 2, 0, -kInfinity, -kInfinity, kInfinity, 0, 0};
  EXPECT_EQ(draw(select(GetParam()), logits, {1, 0.5, 2}, {0, 0, 0}), (std::vector<TokenId>{-1, 0, -1}));
}

INSTANTIATE_TEST_SUITE_P(Backends, DrawTest, testing::ValuesIn(all_variants()), name_of_test);

}  // namespace
}  // namespace riverrun::kernels
