#include "output/writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmath>
#include <csignal>
#include <limits>

#include "output/reader.h"
#include "sample.h"

namespace riverrun::output {
namespace {

using namespace testing;

TEST(Writer, EverythingWrittenIsReadBack) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  const FileSpec spec = full_spec();
  Writer::create(path, spec);
  Writer writer(path);
  const std::vector<float> row = {1.5f, -0.0f, 3e38f}, scores = {-0.25f, -1e-30f};
  const std::vector<float> wkv = {1, 2, 3, 4, 5, 6, 7, 8}, shift = {9, 8, 7, 6, 5, 4, 3, 2};
  writer.write_embedding(3, row);
  writer.write_window(1, row);
  writer.write_scores(5, scores);  // document 2, its tokens 2 and 3
  writer.write_wkv_state(2, 0, wkv);
  writer.write_shift_state(2, 1, shift);
  writer.write_text(TextGroup::summaries, 0, {"kürzer", {5, 6}, StopReason::stop_text});
  writer.write_text(TextGroup::sections, 2, {"exactly 12 b", {7, 8}, StopReason::length});
  writer.write_text(TextGroup::answers, 0, {"a\xff", {9}, StopReason::stop_token});
  writer.write_passage(1, {2, 3, 11, 7, "Fl\xc3\xbcss" "\xc3"});  // it ends inside a character
  EXPECT_EQ(writer.read_windows(1, 1), row);
  for (const Index document : {0, 2, 3}) writer.mark_done(document);
  writer.mark_failed(1, "no tokens");
  writer.finish();

  const Reader reader(path);
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.ids(), spec.ids);
  EXPECT_EQ(reader.tokens(), spec.tokens);
  EXPECT_EQ(reader.bytes(), spec.bytes);
  EXPECT_EQ(reader.status(), (std::vector{Status::done, Status::failed, Status::done, Status::done}));
  EXPECT_EQ(reader.errors(), (std::vector<std::string>{"", "no tokens", "", ""}));
  EXPECT_EQ(reader.floats("/embeddings", 3, 1), row);
  EXPECT_TRUE(std::signbit(reader.floats("/embeddings", 3, 1)[1]));
  EXPECT_EQ(reader.floats("/embeddings", 0, 1), std::vector<float>(3, 0.0f));
  EXPECT_EQ(reader.floats("/windows/embedding", 1, 1), row);
  EXPECT_EQ(reader.integers("/windows/document", 0, 2), (std::vector<Index>{0, 2}));
  EXPECT_EQ(reader.integers("/windows/first_token", 0, 2), (std::vector<Index>{0, 2}));
  EXPECT_EQ(reader.integers("/windows/tokens", 0, 2), (std::vector<Index>{3, 3}));
  EXPECT_EQ(reader.integers("/scores/offset", 0, 5), (std::vector<Index>{0, 3, 3, 8, 9}));
  EXPECT_EQ(reader.floats("/scores/logprob", 5, 2), scores);
  EXPECT_EQ(reader.floats("/states/wkv", 2, 1), wkv);
  const auto shifts = reader.floats("/states/shift", 2, 1);
  EXPECT_EQ(std::vector<float>(shifts.begin() + 8, shifts.end()), shift);
  EXPECT_EQ(reader.strings("/summaries/text", 0, 4), (std::vector<std::string>{"kürzer", "", "", ""}));
  EXPECT_EQ(reader.strings("/passages/text", 0, 2), (std::vector<std::string>{"", "Flüss\xef\xbf\xbd"}));
  for (const auto& [name, value] : {std::pair{"document", 2}, {"first_token", 2}, {"tokens", 3}, {"first_byte", 11}, {"bytes", 7}}) {
    EXPECT_EQ(reader.integers(concat("/passages/", name), 1, 1), std::vector<Index>{value}) << name;
  }
  EXPECT_EQ(reader.integers("/summaries/tokens", 0, 1), (std::vector<Index>{5, 6, -1, -1}));
  EXPECT_EQ(reader.integers("/summaries/length", 0, 4), (std::vector<Index>{2, 0, 0, 0}));
  EXPECT_EQ(reader.integers("/summaries/stop_reason", 0, 4), (std::vector<Index>{2, 0, 0, 0}));
  EXPECT_EQ(reader.integers("/sections/document", 0, 3), (std::vector<Index>{0, 2, 2}));
  EXPECT_EQ(reader.integers("/sections/first_token", 0, 3), (std::vector<Index>{0, 0, 4}));
  EXPECT_EQ(reader.integers("/sections/tokens", 0, 3), (std::vector<Index>{3, 4, 1}));
  EXPECT_EQ(reader.integers("/answers/document", 0, 2), (std::vector<Index>{2, 0}));
  EXPECT_EQ(reader.integers("/answers/question", 0, 2), (std::vector<Index>{1, 0}));
  EXPECT_EQ(reader.strings("/questions/text", 0, 2), spec.answers->questions);
  const auto expect_text = [&](TextGroup group, Index at, const GeneratedText& expected) {
    const GeneratedText text = reader.generated_text(group, at);
    EXPECT_EQ(text.text, expected.text);
    EXPECT_EQ(text.tokens, expected.tokens);
    EXPECT_EQ(text.stop_reason, expected.stop_reason);
  };
  expect_text(TextGroup::summaries, 0, {"kürzer", {5, 6}, StopReason::stop_text});
  expect_text(TextGroup::sections, 2, {"exactly 12 b", {7, 8}, StopReason::length});
  expect_text(TextGroup::sections, 1, {});  // untouched by its neighbour
  expect_text(TextGroup::answers, 0, {"a\xef\xbf\xbd", {9}, StopReason::stop_token});
  EXPECT_EQ(reader.text("job"), "embed");
  EXPECT_EQ(reader.text("model_path"), "/models/Füße.pth");
  EXPECT_EQ(reader.text("empty"), "");
  EXPECT_EQ(reader.integer("block_tokens"), 4096);
  EXPECT_EQ(std::get<double>(reader.attribute("temperature")->value), 0.1);
}

TEST(Writer, AttributesKeepTheirOrder) {
  const TemporaryFolder folder;
  Writer::create(folder.path("out.h5"), full_spec());
  std::vector<std::string> names, expected = {"schema", "job"};
  const Reader reader(folder.path("out.h5"));
  for (const auto& attribute : reader.attributes()) names.push_back(attribute.name);
  for (const auto& attribute : full_spec().attributes) expected.push_back(attribute.name);
  expected.push_back("complete");
  EXPECT_EQ(names, expected);
}

TEST(Writer, NoDocumentsAndNoWindowsAreAFileToo) {
  const TemporaryFolder folder;
  FileSpec spec;
  spec.job = "score";
  spec.scores = true;
  spec.embedding_width = 4;
  spec.windows = WindowsSpec{};
  spec.summaries = TextsSpec{8, 2};
  spec.sections = SectionsSpec{{}, {}, {}, {8, 2}};
  spec.answers = AnswersSpec{{}, {}, {}, {8, 2}};
  Writer::create(folder.path("out.h5"), spec);
  Writer writer(folder.path("out.h5"));
  writer.finish();
  const Reader reader(folder.path("out.h5"));
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.documents(), 0);
  EXPECT_EQ(reader.integers("/scores/offset", 0, 1), std::vector<Index>{0});
}

TEST(Writer, Float16IsRoundedToNearestEven) {
  const TemporaryFolder folder;
  FileSpec spec = embeddings_spec(1, 12);
  spec.embedding_f16 = true;
  Writer::create(folder.path("out.h5"), spec);
  Writer writer(folder.path("out.h5"));
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> row = {1.0f,     1.0f + 0x1p-11f, 1.0f + 0x1.8p-10f, -2.5f,
                                  65504.0f, 65519.0f,        65520.0f,          0x1p-24f,
                                  0x1p-25f, 0x1.8p-24f,      -infinity,         std::nanf("")};
  const std::vector<float> expected = {1.0f,     1.0f,     1.0f + 0x1p-9f, -2.5f,    65504.0f, 65504.0f,
                                       infinity, 0x1p-24f, 0.0f,           0x1p-23f, -infinity};
  writer.write_embedding(0, row);
  writer.mark_done(0);
  writer.finish();
  const Reader reader(folder.path("out.h5"));
  EXPECT_EQ(reader.dataset("/embeddings")->element, Element::f16);
  EXPECT_EQ(reader.dataset("/embeddings")->bytes(), 24);
  const auto got = reader.floats("/embeddings", 0, 1);
  EXPECT_EQ(std::vector<float>(got.begin(), got.end() - 1), expected);
  EXPECT_TRUE(std::isnan(got.back()));
}

TEST(Writer, AMarkShowsOnlyAfterCommit) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, embeddings_spec(5, 2));
  Writer writer(path);
  const Reader reader(path);
  const std::vector<float> row = {1, 2};
  const std::vector pending(5, Status::pending);
  writer.write_embedding(4, row);
  writer.mark_done(4);
  writer.write_embedding(1, row);
  writer.mark_done(1);
  writer.mark_failed(2, "bad");
  EXPECT_EQ(writer.status(), pending);
  EXPECT_EQ(reader.status(), pending);
  EXPECT_EQ(reader.floats("/embeddings", 4, 1), row);  // rows are in place before their mark

  writer.commit();
  const std::vector expected = {Status::pending, Status::done, Status::failed, Status::pending, Status::done};
  EXPECT_EQ(writer.status(), expected);
  EXPECT_EQ(reader.status(), expected);
}

TEST(Writer, AFailedDocumentMayBeDoneOnTheSecondTry) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, embeddings_spec(1, 2));
  {
    Writer writer(path);
    writer.mark_failed(0, "bad");
    writer.mark_failed(0, "worse");
    writer.finish();
  }
  EXPECT_EQ(Reader(path).errors().front(), "worse");
  Writer writer(path);
  EXPECT_EQ(writer.status().front(), Status::failed);
  writer.write_embedding(0, std::vector<float>{1, 2});
  writer.mark_done(0);
  writer.finish();
  EXPECT_EQ(Reader(path).errors().front(), "");
  EXPECT_EQ(Reader(path).status().front(), Status::done);
}

TEST(Writer, ErrorTextIsCutBetweenCharacters) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, embeddings_spec(2, 2));
  Writer writer(path);
  std::string text(159, 'x');
  writer.mark_failed(0, text + "ü and more");
  writer.mark_failed(1, text + "!");  // exactly 160
  writer.finish();
  EXPECT_EQ(Reader(path).errors(), (std::vector<std::string>{text, text + "!"}));
}

TEST(Writer, WhatIsMarkedDoneCannotBeWrittenAgain) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, full_spec());
  Writer writer(path);
  writer.mark_done(2);
  const std::vector<float> row(3), one(1), eight(8);
  EXPECT_THROW(writer.write_embedding(2, row), Error);  // before the commit already
  writer.commit();
  EXPECT_THROW(writer.write_embedding(2, row), Error);
  EXPECT_THROW(writer.write_window(1, row), Error);  // a window of document 2
  EXPECT_THROW(writer.write_scores(7, one), Error);
  EXPECT_THROW(writer.write_wkv_state(2, 0, eight), Error);
  EXPECT_THROW(writer.write_shift_state(2, 0, eight), Error);
  const GeneratedText text{"", {}, StopReason::length};
  EXPECT_THROW(writer.write_text(TextGroup::summaries, 2, text), Error);
  EXPECT_THROW(writer.write_text(TextGroup::sections, 1, text), Error);
  EXPECT_THROW(writer.write_text(TextGroup::answers, 0, text), Error);
  EXPECT_THROW(writer.write_passage(1, {}), Error);
  EXPECT_THROW(writer.mark_failed(2, ""), Error);
  EXPECT_THROW(writer.mark_done(2), Error);
  writer.write_window(0, row);
  writer.write_scores(8, one);
  writer.write_text(TextGroup::sections, 0, text);
  writer.write_text(TextGroup::answers, 1, text);
}

TEST(Writer, RowsThatDoNotFitAreRefused) {
  const TemporaryFolder folder;
  Writer::create(folder.path("out.h5"), full_spec());
  Writer writer(folder.path("out.h5"));
  const std::vector<float> two(2), three(3), seven(7), eight(8), ten(10);
  EXPECT_THROW(writer.write_embedding(0, two), Error);
  EXPECT_THROW(writer.write_embedding(4, three), Error);
  EXPECT_THROW(writer.write_embedding(-1, three), Error);
  EXPECT_THROW(writer.write_window(2, three), Error);
  EXPECT_THROW(writer.write_window(0, two), Error);
  EXPECT_THROW(writer.write_scores(2, two), Error);  // runs into the next document
  EXPECT_THROW(writer.write_scores(0, ten), Error);  // beyond the end
  EXPECT_THROW(writer.write_scores(9, std::vector<float>(1)), Error);
  EXPECT_THROW(writer.write_scores(-1, two), Error);
  EXPECT_THROW(writer.write_wkv_state(0, 0, seven), Error);
  EXPECT_THROW(writer.write_wkv_state(0, 1, eight), Error);
  EXPECT_THROW(writer.write_shift_state(0, 2, eight), Error);
  const auto refuses_text = [&](TextGroup group, Index text_row, const GeneratedText& text) {
    return !error_of([&] { writer.write_text(group, text_row, text); }).empty();
  };
  const GeneratedText good{"", {}, StopReason::length};
  EXPECT_TRUE(refuses_text(TextGroup::summaries, 0, {"seventeen bytes !", {}, StopReason::length}));
  EXPECT_TRUE(refuses_text(TextGroup::answers, 0, {"seven \xff", {}, StopReason::length}));  // 9 as U+FFFD
  EXPECT_TRUE(refuses_text(TextGroup::summaries, 0, {"", std::vector<TokenId>(5), StopReason::length}));
  EXPECT_TRUE(refuses_text(TextGroup::summaries, 0, {"", {}, StopReason::none}));
  EXPECT_TRUE(refuses_text(TextGroup::summaries, 4, good));
  EXPECT_TRUE(refuses_text(TextGroup::sections, 3, good));
  EXPECT_TRUE(refuses_text(TextGroup::answers, -1, good));
  EXPECT_THROW(writer.write_passage(2, {}), Error);
  EXPECT_THROW(writer.write_passage(0, {0, 1, 0, 8, "seven b\xff"}), Error);  // 10 as U+FFFD
  EXPECT_THROW(writer.read_windows(1, 2), Error);
  EXPECT_THROW(writer.mark_done(4), Error);
  const Reader reader(folder.path("out.h5"));
  EXPECT_EQ(reader.floats("/scores/logprob", 0, 9), std::vector<float>(9, 0.0f));
  EXPECT_EQ(reader.strings("/summaries/text", 0, 4), std::vector<std::string>(4));
}

TEST(Writer, FinishNeedsEveryDocument) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, embeddings_spec(2, 2));
  Writer writer(path);
  writer.mark_done(1);
  EXPECT_THROW(writer.finish(), Error);
  EXPECT_FALSE(Reader(path).complete());
  EXPECT_EQ(Reader(path).status()[1], Status::done);
  writer.mark_done(0);
  writer.finish();
  EXPECT_TRUE(Reader(path).complete());
  writer.finish();  // once more does no harm
  EXPECT_TRUE(Reader(path).complete());
}

// `complete` is set past HDF5, so nothing else in the file may change with it.
TEST(Writer, FinishChangesNothingButStatusAndTheFlag) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  FileSpec spec = embeddings_spec(1, 2);
  spec.attributes = {{"decoy", "complete"}, {"completed", Index{0}}, {"incomplete", Index{0}}};
  Writer::create(path, spec);
  const std::string before = read_file(path);
  Writer writer(path);
  writer.mark_done(0);
  writer.finish();
  const std::string after = read_file(path);
  ASSERT_EQ(before.size(), after.size());
  Index changed = 0;
  for (std::size_t i = 0; i < before.size(); ++i) changed += before[i] != after[i];
  EXPECT_EQ(changed, 2);
  EXPECT_EQ(Reader(path).integer("completed"), 0);
  EXPECT_EQ(Reader(path).integer("incomplete"), 0);
}

TEST(Writer, AfterAFailedWriteNothingIsMarked) {
  // A limit on the size of files fails as a full disk does, with another reason, and needs no root.
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, embeddings_spec(100, 1000));
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    Writer writer(path);
    const rlimit limit{100000, 100000};
    int result = ::setrlimit(RLIMIT_FSIZE, &limit) == 0 ? 0 : 10;
    writer.write_embedding(0, std::vector<float>(1000, 1.0f));
    writer.mark_done(0);
    const std::string error = error_of([&] { writer.write_embedding(99, std::vector<float>(1000)); });
    if (error.find("File too large") == std::string::npos ||
        error.find("row 99 of /embeddings") == std::string::npos) {
      result = 11;
    }
    if (error_of([&] { writer.commit(); }).find("earlier write failed") == std::string::npos) result = 12;
    ::_exit(result);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(Reader(path).status().front(), Status::pending);
}

}  // namespace
}  // namespace riverrun::output
