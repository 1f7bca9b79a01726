// Which tokenizer goes with a model, and that a wrong one is never taken in silence.
#include "text/tokenizer_choice.h"

#include <cstdlib>

#include "tests/text/support.h"

namespace riverrun::text {
namespace {

constexpr const char* kWorld = "rwkv_vocab_v20230424.txt";
constexpr Index kWorldRows = 271, kNeoxRows = 723;  // that fit the small vocabularies here

class ChooseTokenizer : public ::testing::Test {
 protected:
  ChooseTokenizer() {
    ::unsetenv("RIVERRUN_VOCAB");
    model_ = scratch_.file("models/a.pth", "");
  }
  ~ChooseTokenizer() override { ::unsetenv("RIVERRUN_VOCAB"); }

  std::string put_world(const std::string& name) { return scratch_.file(name, small_vocabulary({"ab"})); }

  TokenizerChoice choose(Index rows, const std::string& named = "",
                         std::span<const std::string> embedded = {}, const std::string& kind = "rwkv") {
    return choose_tokenizer({model_, named, embedded, kind, rows});
  }
  std::string refusal(Index rows, const std::string& named = "", std::span<const std::string> embedded = {},
                      const std::string& kind = "rwkv") {
    return message_of<InputError>([&] { choose(rows, named, embedded, kind); });
  }

  // A token list as GGUF files have it.
  static std::vector<std::string> embedded() {
    std::vector<std::string> tokens{"<s>"};
    char text[8];
    for (int byte = 0; byte < 256; ++byte) {
      std::snprintf(text, sizeof text, "\\x%02x", byte);
      tokens.push_back(text);
    }
    return tokens;
  }

  TemporaryFolder scratch_;
  std::string model_;
};

TEST_F(ChooseTokenizer, TheOrderIsOptionThenEnvironmentThenBesideThenInside) {
  const auto tokens = embedded();
  EXPECT_EQ(choose(kWorldRows, "", tokens).why, "inside the model file");
  EXPECT_EQ(choose(kWorldRows, "", tokens).source, model_);

  const std::string beside = put_world(concat("models/", kWorld));
  EXPECT_EQ(choose(kWorldRows, "", tokens).source, beside);
  EXPECT_EQ(choose(kWorldRows, "", tokens).why, "beside the model");
  model_ = scratch_.path("models");
  EXPECT_EQ(choose(kWorldRows).source, beside) << "a model may be a directory";

  const std::string in_environment = put_world("environment.txt"), named = put_world("named.txt");
  ::setenv("RIVERRUN_VOCAB", in_environment.c_str(), 1);
  EXPECT_EQ(choose(kWorldRows).source, in_environment);
  EXPECT_EQ(choose(kWorldRows).why, "RIVERRUN_VOCAB");
  EXPECT_EQ(choose(kWorldRows, named).source, named);
  EXPECT_EQ(choose(kWorldRows, named).why, "--tokenizer");
}

TEST_F(ChooseTokenizer, WhatWasNamedIsNeverPassedOver) {
  put_world(concat("models/", kWorld));
  const std::string missing = scratch_.path("missing"), named = put_world("named.txt");
  EXPECT_CONTAINS(refusal(kWorldRows, missing), missing);
  EXPECT_CONTAINS(refusal(200, named), "only 200 rows");
  ::setenv("RIVERRUN_VOCAB", missing.c_str(), 1);
  EXPECT_CONTAINS(refusal(kWorldRows), missing);
  ::setenv("RIVERRUN_VOCAB", named.c_str(), 1);
  EXPECT_CONTAINS(refusal(200), "only 200 rows");
}

TEST_F(ChooseTokenizer, RefusesWhatIsInsideWhenItDoesNotFitOrIsOfAnotherKind) {
  const auto tokens = embedded();
  EXPECT_CONTAINS(refusal(200, "", tokens), "only 200 rows");
  EXPECT_CONTAINS(refusal(kWorldRows, "", tokens, "llama"), "'llama'");
}

TEST_F(ChooseTokenizer, SaysWhatItLookedForAndWhy) {
  const std::string beside = put_world(concat("models/", kWorld));
  const std::string message = refusal(100);
  for (const std::string& part :
       {beside + ": does not fit, it has 258 ids", std::string("20B_tokenizer.json: not there"),
        std::string("RIVERRUN_VOCAB"), std::string("--tokenizer"), std::string("100")}) {
    EXPECT_CONTAINS(message, part);
  }
  // Far more rows than ids: another vocabulary's model.
  EXPECT_CONTAINS(refusal(5000), "does not fit, it has 258 ids");
}

// By size alone: the file that is named belongs to that size, found or not.
TEST_F(ChooseTokenizer, KnowsTheSizesOfTheTwoVocabularies) {
  const auto expect = [&](Index rows, const std::string& file) {
    try {
      const TokenizerChoice choice = choose(rows);
      EXPECT_TRUE(choice.source.ends_with("data/" + file)) << choice.source;
      EXPECT_CONTAINS(choice.why, std::to_string(rows));
    } catch (const InputError& error) {
      EXPECT_CONTAINS(std::string(error.what()), "data/" + file + ": not there");
    }
  };
  for (const Index rows : {65530, 65536}) expect(rows, kWorld);
#ifdef RIVERRUN_TEST_NEOX  // else the file, if it is there, cannot be read
  for (const Index rows : {50277, 50304}) expect(rows, "20B_tokenizer.json");
#endif
  for (const Index rows : {50276, 50305, 65529, 65537}) EXPECT_CONTAINS(refusal(rows), "no known vocabulary");
}

#ifdef RIVERRUN_TEST_NEOX
TEST_F(ChooseTokenizer, TakesTheFileBesideTheModelThatFits) {
  const std::string neox = read_file(RIVERRUN_TEST_DATA "/neox/tokenizer.json");
  put_world(concat("models/", kWorld));
  const std::string any = scratch_.file("models/tokenizer.json", neox);
  EXPECT_EQ(choose(kNeoxRows + 100).source, any);
  EXPECT_CONTAINS(choose(kNeoxRows + 100).why, "beside the model; passed over");
  EXPECT_EQ(choose(kWorldRows).source, scratch_.path(concat("models/", kWorld)));
  const std::string full = scratch_.file("models/20B_tokenizer.json", neox);
  EXPECT_EQ(choose(kNeoxRows + 100).source, full);
}

// The forms in which converters put the World vocabulary beside a model are not used; what cannot be read is
// an error.
TEST_F(ChooseTokenizer, TreatsForeignJsonBesideTheModel) {
  const auto tokens = embedded();
  for (const std::string kind : {"WordLevel", "RwkvTrie"}) {
    scratch_.file("models/tokenizer.json", R"({"model": {"type": ")" + kind + R"("}})");
    const TokenizerChoice choice = choose(kWorldRows, "", tokens);
    EXPECT_CONTAINS(choice.why, "inside the model file; passed over");
    EXPECT_CONTAINS(choice.why, "tokenizer.json");
  }
  for (const std::string file : {R"({"model": {"type": "Unigram"}})", "{}", "{\"model\""}) {
    const std::string path = scratch_.file("models/tokenizer.json", file);
    EXPECT_CONTAINS(refusal(kWorldRows, "", tokens), path);
  }
}
#endif

}  // namespace
}  // namespace riverrun::text
