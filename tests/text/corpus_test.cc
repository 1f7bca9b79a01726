// The first pass: what lands in the spool, which documents are bad, and that failures leave nothing behind.
#include "text/corpus.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <random>

#include "tests/text/support.h"

namespace riverrun::text {
namespace {

using Ids = std::vector<TokenId>;

// Documents from memory, so that every state of a Document can be had.
class FakeReader final : public Reader {
 public:
  explicit FakeReader(std::vector<Document> documents) : documents_(std::move(documents)) {}
  bool next(Document& document) override {
    if (at_ == documents_.size()) {
      if (fails_) throw InputError("the reader failed");
      return false;
    }
    document = documents_[at_++];
    return true;
  }
  bool fails_ = false;

 private:
  std::vector<Document> documents_;
  std::size_t at_ = 0;
};

Document with_text(const std::string& id, const std::string& text) {
  return {id, text, {}, false, "in " + id, ""};
}
Document with_tokens(const std::string& id, const Ids& ids) { return {id, "", ids, true, "in " + id, ""}; }

class CorpusTest : public ::testing::Test {
 protected:
  Corpus read(const std::vector<Document>& documents, CorpusOptions options = {.vocab = 65536}) {
    FakeReader reader(documents);
    return read_corpus(reader, tokenizer_.get(), options, spool_);
  }
  Ids spooled(const Corpus& corpus, std::size_t document) {
    const TokenSpool spool(spool_, corpus.tokens);
    const auto ids = spool.ids(corpus.documents.at(document).first, corpus.documents.at(document).length);
    return {ids.begin(), ids.end()};
  }
  bool spool_exists() const { return std::filesystem::exists(spool_); }

  std::unique_ptr<Tokenizer> tokenizer_ = make_world_tokenizer(small_vocabulary({"abc"}), "test");
  TemporaryFolder scratch_;
  std::string spool_ = scratch_.path("tokens.spool");
};

TEST_F(CorpusTest, SpoolsDocumentsInOrder) {
  const Corpus corpus = read({with_text("a", "abcx"), with_tokens("b", {5, 0, 65535}), with_text("c", "ab")});
  ASSERT_EQ(corpus.documents.size(), 3u);
  EXPECT_EQ(corpus.tokens, 7);
  EXPECT_EQ(spooled(corpus, 0), (Ids{257, 'x' + 1}));
  EXPECT_EQ(spooled(corpus, 1), (Ids{5, 0, 65535}));
  EXPECT_EQ(spooled(corpus, 2), (Ids{'a' + 1, 'b' + 1}));
  EXPECT_EQ(corpus.documents[0].bytes, 4);
  EXPECT_EQ(corpus.documents[1].bytes, 0);
  EXPECT_EQ(corpus.documents[2].id, "c");
  EXPECT_EQ(std::filesystem::file_size(spool_), 7 * sizeof(TokenId));
}

// More documents and more bytes than are read together, some of them bad: as many threads as may be, the same spool.
TEST_F(CorpusTest, ThreadsChangeNothing) {
  std::vector<Document> documents;
  for (int i = 0; i < 9000; ++i) {
    documents.push_back(with_text(concat("t", i), std::string(static_cast<std::size_t>(i % 7), 'a') + "abc"));
    if (i % 1000 == 3) documents.push_back(with_text(concat("long", i), std::string(3 << 20, 'x')));
    if (i % 500 == 7) documents.push_back(with_tokens(concat("bad", i), {65536}));
  }
  const Corpus expected = read(documents, {.start_token = 9, .vocab = 65536});
  std::vector<Ids> ids;
  for (std::size_t d = 0; d < documents.size(); ++d) ids.push_back(spooled(expected, d));
  EXPECT_EQ(ids[7].size(), 1u + 6 + 1);  // t6: the start token, six times a, abc
  for (const int threads : {2, 5}) {
    const Corpus corpus = read(documents, {.start_token = 9, .vocab = 65536, .threads = threads});
    ASSERT_EQ(corpus.documents.size(), documents.size());
    EXPECT_EQ(corpus.tokens, expected.tokens);
    for (std::size_t d = 0; d < documents.size(); ++d) {
      ASSERT_EQ(spooled(corpus, d), ids[d]) << documents[d].id << ", " << threads << " threads";
      ASSERT_EQ(corpus.documents[d].error, expected.documents[d].error);
      ASSERT_EQ(corpus.documents[d].id, documents[d].id);
    }
  }
}

TEST_F(CorpusTest, WhatIsWrongFirstIsToldFirst) {
  for (const int threads : {1, 3}) {
    std::vector<Document> documents;
    for (int i = 0; i < 5000; ++i) documents.push_back(with_text(concat("d", i), "abc"));
    documents[4500].id = "d17";  // in the second batch, before the reader fails
    FakeReader reader(documents);
    reader.fails_ = true;
    try {
      read_corpus(reader, tokenizer_.get(), {.vocab = 65536, .threads = threads}, spool_);
      FAIL() << "accepted";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find("d17"), std::string::npos) << error.what();
    }
    EXPECT_FALSE(spool_exists());
  }
}

TEST_F(CorpusTest, StartAndEndTokensGoAroundEveryDocument) {
  const Corpus corpus = read({with_text("a", "abc"), with_tokens("b", {5}), with_text("empty", "")},
                             {.start_token = 0, .end_token = 9, .vocab = 65536});
  EXPECT_EQ(spooled(corpus, 0), (Ids{0, 257, 9}));
  EXPECT_EQ(spooled(corpus, 1), (Ids{0, 5, 9}));
  EXPECT_EQ(spooled(corpus, 2), (Ids{0, 9})) << "an end token makes an empty document one with tokens";
  EXPECT_EQ(corpus.documents[2].error, "");
}

TEST_F(CorpusTest, BadDocumentsTakeNoSpaceAndTheOthersGoOn) {
  Document unreadable = with_text("bad", "abc");
  unreadable.error = "not UTF-8";
  const Corpus corpus =
      read({with_text("a", "abc"), unreadable, with_text("empty", ""), with_tokens("none", {}),
            with_tokens("high", {1, 2, 300, 4}), with_tokens("low", {-1}), with_text("z", "x")},
           {.start_token = 0, .vocab = 300});
  ASSERT_EQ(corpus.documents.size(), 7u);
  EXPECT_EQ(corpus.tokens, 4);
  EXPECT_EQ(spooled(corpus, 0), (Ids{0, 257}));
  EXPECT_EQ(spooled(corpus, 6), (Ids{0, 'x' + 1}));
  for (std::size_t i = 1; i < 6; ++i) EXPECT_EQ(corpus.documents[i].length, 0) << i;
  EXPECT_EQ(corpus.documents[1].error, "not UTF-8");
  EXPECT_EQ(corpus.documents[1].bytes, 3);
  EXPECT_EQ(corpus.documents[2].error, "document has no tokens") << "a start token alone is none";
  EXPECT_EQ(corpus.documents[3].error, "document has no tokens");
  EXPECT_CONTAINS(corpus.documents[4].error,
                  "token id 300 at position 2 (from 0) is outside the model's vocabulary of 300");
  EXPECT_CONTAINS(corpus.documents[5].error, "token id -1 at position 0");
}

TEST_F(CorpusTest, ATokenizerLargerThanTheModelMakesDocumentsBad) {
  const Corpus corpus = read({with_text("a", "x abc"), with_text("b", "x")}, {.vocab = 257});
  EXPECT_CONTAINS(corpus.documents[0].error, "token id 257 at position 2");
  EXPECT_EQ(corpus.documents[1].length, 1);
}

TEST_F(CorpusTest, DuplicateIdsNameBothPlaces) {
  std::vector<Document> documents;
  for (int i = 0; i < 1000; ++i)
    documents.push_back(with_text(concat("d", i), "x"));  // the list grows in between
  EXPECT_EQ(read(documents).documents.size(), 1000u);
  documents.push_back(with_text("d17", "y"));
  documents.back().where = "somewhere else";
  const std::string message = message_of<InputError>([&] { read(documents); });
  EXPECT_CONTAINS(message, "\"d17\"");
  EXPECT_CONTAINS(message, "in d17");
  EXPECT_CONTAINS(message, "somewhere else");
  EXPECT_FALSE(spool_exists());
}

TEST_F(CorpusTest, RefusesWhatCannotBeRunAndRemovesTheSpool) {
  EXPECT_CONTAINS(message_of<InputError>([&] { read({}); }), "no documents");
  EXPECT_FALSE(spool_exists());
  const std::vector<Document> one{with_text("a", "x")};
  for (const CorpusOptions& options : {CorpusOptions{.start_token = 300, .vocab = 300},
                                       {.end_token = 300, .vocab = 300},
                                       CorpusOptions{.start_token = -2, .vocab = 300}}) {
    EXPECT_CONTAINS(message_of<InputError>([&] { read(one, options); }), "outside the model's vocabulary");
  }
  FakeReader reader(one);
  reader.fails_ = true;
  EXPECT_THROW(read_corpus(reader, tokenizer_.get(), {.vocab = 300}, spool_), InputError);
  EXPECT_FALSE(spool_exists());
}

TEST_F(CorpusTest, TextNeedsATokenizerTokensDoNot) {
  tokenizer_.reset();
  EXPECT_EQ(read({with_tokens("a", {1, 2})}).tokens, 2);
  const std::string message = message_of<InputError>([&] {
    read({with_tokens("a", {1}), with_text("b", "x")});
  });
  EXPECT_CONTAINS(message, "in b");
  EXPECT_CONTAINS(message, "--tokenizer");
  EXPECT_FALSE(spool_exists());
}

TEST_F(CorpusTest, AnOlderSpoolIsReplacedButNothingElseIs) {
  scratch_.file("tokens.spool", std::string(1000, 'x'));
  const Corpus corpus = read({with_tokens("a", {1, 2})});
  EXPECT_EQ(spooled(corpus, 0), (Ids{1, 2}));
  spool_ = scratch_.path("missing/tokens");
  EXPECT_CONTAINS(message_of<InputError>([&] { read({with_tokens("a", {1})}); }), spool_);
  spool_ = scratch_.path("pipe");
  ASSERT_EQ(::mkfifo(spool_.c_str(), 0600), 0);
  EXPECT_CONTAINS(message_of<InputError>([&] { read({with_tokens("a", {1})}); }), "not a regular file");
  EXPECT_TRUE(spool_exists());
}

// Large and small documents mixed: through the writer's buffer, past it, and exactly up to it.
TEST_F(CorpusTest, IdsSurviveTheBufferOfTheSpool) {
  std::mt19937 random(6);
  std::vector<Document> documents;
  for (const std::size_t size : {1, 262143, 1, 262144, 262145, 2, 1000000, 3, 262144}) {
    Ids ids(size);
    for (TokenId& id : ids) id = static_cast<TokenId>(random() % 65536);
    documents.push_back(with_tokens(concat("d", documents.size()), ids));
  }
  const Corpus corpus = read(documents);
  for (std::size_t i = 0; i < documents.size(); ++i) EXPECT_EQ(spooled(corpus, i), documents[i].tokens) << i;
}

// A limit on the size of files stands in for a full disk: the system refuses a write in the same way.
TEST_F(CorpusTest, AFullDiskIsAnErrorAndLeavesNoSpool) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit saved{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &saved), 0);
  for (const std::size_t ids : {100000, 1000000}) {  // fails when closing, and in the middle
    const rlimit small{100001, saved.rlim_max};      // not at the end of an id: a short write comes first
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const std::string message = message_of<Error>([&] { read({with_tokens("a", Ids(ids, 1))}); });
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &saved), 0);
    EXPECT_CONTAINS(message, "cannot write tokens to " + spool_);
    EXPECT_FALSE(spool_exists());
  }
}

TEST_F(CorpusTest, SpoolChecksItsSizeAndItsRanges) {
  const Corpus corpus = read({with_tokens("a", {1, 2, 3})});
  const TokenSpool spool(spool_, 3);
  EXPECT_EQ(spool.ids(3, 0).size(), 0u);
  EXPECT_EQ(spool.ids(1, 2)[1], 3);
  const Index huge = std::numeric_limits<Index>::max();
  for (const auto& [first, count] :
       {std::pair<Index, Index>{0, 4}, {4, 0}, {-1, 1}, {1, -1}, {3, 1}, {1, huge}, {huge, huge}}) {
    EXPECT_THROW(spool.ids(first, count), Error) << first << " " << count;
  }
  for (const Index wrong : {2, 4})
    EXPECT_CONTAINS(message_of<Error>([&] { TokenSpool(spool_, wrong); }), spool_);
  EXPECT_THROW(TokenSpool(scratch_.path("none"), 0), InputError);
}

TEST_F(CorpusTest, ACorpusOfBadDocumentsHasAnEmptySpool) {
  const Corpus corpus = read({with_text("a", "")});
  EXPECT_EQ(corpus.tokens, 0);
  EXPECT_TRUE(TokenSpool(spool_, 0).ids(0, 0).empty());
}

TEST_F(CorpusTest, ReadsRealFiles) {
  scratch_.file("corpus/b.txt", "abc");
  scratch_.file("corpus/a.txt", "\xff");
  const auto reader = open_reader(scratch_.path("corpus"), {});
  const Corpus corpus = read_corpus(*reader, tokenizer_.get(), {.vocab = 300}, spool_);
  ASSERT_EQ(corpus.documents.size(), 2u);
  EXPECT_CONTAINS(corpus.documents[0].error, "offset 0");
  EXPECT_EQ(spooled(corpus, 1), Ids{257});
}

}  // namespace
}  // namespace riverrun::text
