#include "output/difference.h"

#include <gtest/gtest.h>

#include "output/writer.h"
#include "sample.h"

namespace riverrun::output {
namespace {

using namespace testing;

class DifferenceTest : public ::testing::Test {
 protected:
  DifferenceTest() {
    spec_.attributes.push_back({"prompt", "bad\xff" + std::string(40000, 'p')});
    Writer::create(folder_.path("out.h5"), spec_);
  }
  template <class Change>
  std::string after(Change change) {
    FileSpec wanted = spec_;
    change(wanted);
    return difference(Reader(folder_.path("out.h5")), wanted);
  }
  static Attribute& attribute(FileSpec& spec, const std::string& name) {
    for (auto& candidate : spec.attributes) {
      if (candidate.name == name) return candidate;
    }
    throw Error("no attribute " + name);
  }

  TemporaryFolder folder_;
  FileSpec spec_ = full_spec();
};

TEST_F(DifferenceTest, TheSameJobMayResume) {
  EXPECT_EQ(after([](FileSpec&) {}), "");
}

TEST_F(DifferenceTest, WhatOnlyDescribesTheRunDoesNotCount) {
  EXPECT_EQ(after([](FileSpec& s) {
              attribute(s, "command").value = "riverrun embed --resume";
              attribute(s, "created").value = "2030-12-31T00:00:00Z";
              attribute(s, "model_path").value = "/elsewhere";
              attribute(s, "riverrun_version").value = "9.9";
              s.attributes.erase(s.attributes.begin());
              std::reverse(s.attributes.begin(), s.attributes.end());
            }),
            "");
}

TEST_F(DifferenceTest, EveryOtherChangeIsNamed) {
  EXPECT_EQ(after([](FileSpec& s) { s.job = "score"; }), "job was embed and would now be score");
  EXPECT_EQ(after([](FileSpec& s) { attribute(s, "precision").value = "bf16"; }),
            "precision was fp32 and would now be bf16");
  EXPECT_EQ(after([](FileSpec& s) { attribute(s, "model_sha256").value = "abd"; }),
            "model_sha256 was abc and would now be abd");
  EXPECT_EQ(after([](FileSpec& s) { attribute(s, "block_tokens").value = Index{64}; }),
            "block_tokens was 4096 and would now be 64");
  EXPECT_EQ(after([](FileSpec& s) { attribute(s, "layers").value = "2"; }),
            "layers was 2 and would now be 2");
  EXPECT_EQ(after([](FileSpec& s) {
              s.attributes.push_back({"pool", "mean"});
            }),
            "pool was nothing and would now be mean");
  EXPECT_EQ(after([](FileSpec& s) {
              s.attributes[5].name = "window";
              s.attributes[5].value = Index{7};
            }),
            "window was nothing and would now be 7");
  EXPECT_NE(after([](FileSpec& s) { attribute(s, "prompt").value = "other"; }), "");
  EXPECT_EQ(
      after([](FileSpec& s) { std::erase_if(s.attributes, [](auto& a) { return a.name == "precision"; }); }),
      "precision was fp32 and would now be left out");
  EXPECT_EQ(after([](FileSpec& s) { s.ids[2] = "new"; }), "document 2 had the id  and has now new");
  EXPECT_EQ(after([](FileSpec& s) { s.ids.pop_back(), s.tokens.pop_back(), s.bytes.pop_back(); }),
            "the file has 4 documents, the input has 3");
  EXPECT_EQ(after([](FileSpec& s) { s.tokens[3] = 2; }), "document 3 had a token count of 1 and has now 2");
  EXPECT_EQ(after([](FileSpec& s) { s.bytes[0] = 11; }),
            "document 0 had a size in bytes of 10 and has now 11");
  EXPECT_EQ(after([](FileSpec& s) { s.embedding_f16 = true; }),
            "/embeddings was float32 x 4 x 3 and would now be float16 x 4 x 3");
  EXPECT_EQ(after([](FileSpec& s) { s.embedding_width = 5; }),
            "/embeddings was float32 x 4 x 3 and would now be float32 x 4 x 5");
  EXPECT_EQ(after([](FileSpec& s) { s.windows->first_token[1] = 1; }),
            "window 1 had the first token 2 and has now 1");
  EXPECT_EQ(after([](FileSpec& s) { s.windows->document[0] = 2; }),
            "window 0 had the document 0 and has now 2");
  EXPECT_EQ(after([](FileSpec& s) { s.windows->tokens[0] = 2; }),
            "window 0 had a token count of 3 and has now 2");
  EXPECT_EQ(after([](FileSpec& s) { s.scores = false; }),
            "/scores/logprob is in the file and would now be left out");
  EXPECT_EQ(after([](FileSpec& s) { s.states->part_shape[0] = 1; }),
            "/states/wkv was float32 x 4 x 1 x 2 x 2 x 2 and would now be float32 x 4 x 1 x 1 x 2 x 2");
  EXPECT_EQ(after([](FileSpec& s) { s.summaries->text_bytes = 17; }),
            "/summaries/text was string x 4 of 16 bytes and would now be string x 4 of 17 bytes");
  EXPECT_EQ(after([](FileSpec& s) { s.sections->texts.most_tokens = 3; }),
            "/sections/generated was int32 x 3 x 2 and would now be int32 x 3 x 3");
  EXPECT_EQ(after([](FileSpec& s) { s.sections->first_token[2] = 3; }),
            "section 2 had the first token 4 and has now 3");
  EXPECT_EQ(after([](FileSpec& s) { s.sections->tokens[1] = 3; }),
            "section 1 had a token count of 4 and has now 3");
  EXPECT_EQ(after([](FileSpec& s) { s.answers->document[0] = 1; }),
            "answer 0 had the document 2 and has now 1");
  EXPECT_EQ(after([](FileSpec& s) { s.answers->question[1] = 1; }),
            "answer 1 had the question 0 and has now 1");
  EXPECT_EQ(after([](FileSpec& s) { s.answers->questions[0] = "Why?"; }),
            "question 0 had the text Who? and has now Why?");
  EXPECT_EQ(after([](FileSpec& s) { s.answers.reset(); }),
            "/answers/document is in the file and would now be left out");
}

TEST_F(DifferenceTest, WhatTheFileDoesNotHoldIsNamed) {
  FileSpec bare = spec_;
  bare.scores = false;
  Writer::create(folder_.path("bare.h5"), bare);
  EXPECT_EQ(difference(Reader(folder_.path("bare.h5")), spec_), "/scores/offset is not in the file");
}

}  // namespace
}  // namespace riverrun::output
