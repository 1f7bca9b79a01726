// Decoding: the texts of the rwkv package, and the same texts whatever is written beside them.

#include "generate/decoder.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/thread_pool.h"
#include "tests/support/golden.h"
#include "tests/support/small_model.h"

namespace riverrun::generate {
namespace {

std::string bytes_of(TokenId token) { return concat("<", token, ">"); }

std::unique_ptr<model::State> initial_state(const model::Model& model) {
  auto state = std::make_unique<model::State>(model.state_shape());
  std::ranges::copy(model.initial_state().values(), state->values().begin());
  return state;
}

std::map<Index, Text> run(Decoder& decoder) {
  std::map<Index, Text> texts;
  std::vector<Text> finished;
  while (decoder.waiting() + decoder.writing() > 0) {
    decoder.step(finished);
    for (Text& text : finished) texts[text.number] = std::move(text);
    finished.clear();
  }
  return texts;
}

class GreedyTest : public testing::TestWithParam<const char*> {};

TEST_P(GreedyTest, ContinuesAsThePackageDoes) {
  ThreadPool pool(2);
  const Stream stream = host_stream(pool);
  const test::Golden golden = test::load_golden(GetParam());
  const auto model = model::load_model(golden.model_path, kernels::find_backend("auto"), stream, {"fp32", true, ""});
  const auto expected = nlohmann::json::parse(std::ifstream(std::string(RIVERRUN_TEST_DATA) + "/" + GetParam() + "/generated.json"));
  for (const auto& [name, test] : expected.items()) {
    const auto tokens = test["tokens"].get<std::vector<TokenId>>();
    Settings settings;
    settings.sampling = {.presence = test["presence"], .frequency = test["frequency"], .decay = test["decay"]};
    settings.end.max_tokens = std::ssize(tokens);
    Decoder decoder(*model, settings, [](TokenId) { return std::string("letters"); }, 1, stream);
    decoder.add({0, initial_state(*model), golden.tokens, Draws(0, document_key(""), 0)});
    EXPECT_EQ(run(decoder)[0].tokens, tokens) << "penalties: " << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GreedyTest, testing::Values("v4", "v5.0", "v5.0-faaaa", "v5.1", "v5.1-n8", "v5.2", "v5.2-n8-tuned",
                                                          "v5.2-n32", "v5.2-n128", "v6", "v6-n8-tuned", "v6-n32", "v6-n128", "v7",
                                                          "v7-n8-tuned", "v7-n32", "v7-n128", "v7a"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

class DecoderTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { model_ = test::make_small_model(kernels::find_backend("auto"), "fp32", test::small_shape(GetParam())); }

  Settings settings() const {
    Settings settings;
    settings.sampling = {.temperature = 1, .top_p = 0.9, .presence = 0.3, .frequency = 0.3};
    settings.end = {.stop_tokens = {5, 17}, .stop_texts = {"<7"}, .max_tokens = 30};
    settings.banned = {1, 2, 3};
    settings.seed = 11;
    return settings;
  }

  // Texts of prompts of several lengths, some longer than a block, in the order that `order` says.
  std::map<Index, Text> write(const Settings& settings, Index slots, int threads, const std::vector<Index>& order) const {
    ThreadPool pool(threads);
    Decoder decoder(*model_, settings, bytes_of, slots, host_stream(pool));
    constexpr Index kLengths[] = {1, 2, 40, 600, 3, 257, 1};
    for (const Index number : order) {
      decoder.add({number, initial_state(*model_), test::random_tokens(kLengths[number], unsigned(number)),
                   Draws(settings.seed, document_key("document"), number)});
    }
    return run(decoder);
  }

  std::unique_ptr<model::Model> model_;
};

void expect_same(const std::map<Index, Text>& a, const std::map<Index, Text>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [number, text] : a) {
    const Text& other = b.at(number);
    EXPECT_EQ(text.tokens, other.tokens) << "text " << number;
    EXPECT_EQ(text.text, other.text);
    EXPECT_EQ(text.reason, other.reason);
  }
}

TEST_P(DecoderTest, TextsDoNotDependOnBatchOrderOrThreads) {
  const auto alone = write(settings(), 1, 1, {0, 1, 2, 3, 4, 5, 6});
  EXPECT_EQ(alone.size(), 7u);
  expect_same(alone, write(settings(), 3, 2, {6, 3, 1, 5, 0, 2, 4}));
  expect_same(alone, write(settings(), 16, 2, {2, 0, 4, 6, 1, 3, 5}));
}

TEST_P(DecoderTest, BannedTokensNeverComeAndEndsAreRespected) {
  const Settings used = settings();
  for (const auto& [number, text] : write(used, 4, 1, {0, 1, 2, 3, 4, 5, 6})) {
    EXPECT_NE(text.reason, StopReason::none);
    EXPECT_LE(std::ssize(text.tokens), used.end.max_tokens);
    EXPECT_EQ(text.text.find("<7"), std::string::npos);
    for (const TokenId token : text.tokens) {
      EXPECT_GT(token, 3);
      EXPECT_NE(token, 5);
      EXPECT_NE(token, 17);
    }
  }
}

TEST_P(DecoderTest, SeedChangesTexts) {
  Settings other = settings();
  other.seed = 12;
  EXPECT_NE(write(settings(), 4, 1, {0, 1, 2})[0].tokens, write(other, 4, 1, {0, 1, 2})[0].tokens);
}

TEST_P(DecoderTest, StateThatIsNotFiniteEndsThatTextAlone) {
  ThreadPool pool(1);
  const Settings used = settings();
  Decoder decoder(*model_, used, bytes_of, 2, host_stream(pool));
  auto broken = initial_state(*model_);
  broken->time_row(1)[0] = std::numeric_limits<float>::quiet_NaN();
  decoder.add({0, std::move(broken), {20, 21}, Draws(1, document_key("a"), 0)});
  decoder.add({1, initial_state(*model_), {20, 21}, Draws(1, document_key("a"), 0)});
  const auto texts = run(decoder);
  EXPECT_FALSE(texts.at(0).finite);
  EXPECT_TRUE(texts.at(0).tokens.empty());
  EXPECT_TRUE(texts.at(1).finite);
  EXPECT_FALSE(texts.at(1).tokens.empty());
}

TEST_P(DecoderTest, PromptOutsideTheVocabularyIsRefused) {
  ThreadPool pool(1);
  const Settings used = settings();
  Decoder decoder(*model_, used, bytes_of, 2, host_stream(pool));
  EXPECT_THROW(decoder.add({0, initial_state(*model_), {test::kSmallVocab}, Draws(1, document_key("a"), 0)}), InputError);
}

INSTANTIATE_TEST_SUITE_P(All, DecoderTest, testing::Values("rwkv4", "rwkv6", "rwkv7"), [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace riverrun::generate
