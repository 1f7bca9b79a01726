// Readers of text files and directories: what becomes a document, in which order, under which id.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/text/support.h"
#include "text/line_reader.h"

namespace riverrun::text {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

TEST(TextFile, IsOneDocumentNamedAfterTheFile) {
  const TemporaryFolder scratch;
  const std::string text = std::string("line\r\n\0middle\n\xe6\x98\xaf", 18);
  const std::string path = scratch.file("a folder/book.txt", text);
  const auto documents = read_all(path);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_EQ(documents[0].id, "book.txt");
  EXPECT_EQ(documents[0].text, text) << "NUL and CR are kept";
  EXPECT_EQ(documents[0].where, path);
  EXPECT_EQ(documents[0].error, "");
  EXPECT_FALSE(documents[0].has_tokens);
}

TEST(TextFile, MayBeEmptyOrLargerThanAnyBuffer) {
  const TemporaryFolder scratch;
  EXPECT_EQ(read_all(scratch.file("empty", "")).at(0).text, "");
  std::string large;
  while (large.size() < 3'000'001) large += concat(large.size(), " ");
  EXPECT_EQ(read_all(scratch.file("large", large)).at(0).text, large);
}

TEST(TextFile, ByteOrderMarkIsDroppedOnce) {
  const TemporaryFolder scratch;
  EXPECT_EQ(read_all(scratch.file("a", "\xef\xbb\xbfhello")).at(0).text, "hello");
  EXPECT_EQ(read_all(scratch.file("b", "\xef\xbb\xbf\xef\xbb\xbfx")).at(0).text, "\xef\xbb\xbfx");
  EXPECT_EQ(read_all(scratch.file("c", "x\xef\xbb\xbf")).at(0).text, "x\xef\xbb\xbf");
  EXPECT_EQ(read_all(scratch.file("d", "\xef\xbb\xbf")).at(0).text, "");
}

TEST(TextFile, InvalidUtf8MakesTheDocumentBadAndNamesTheOffset) {
  const TemporaryFolder scratch;
  scratch.file("corpus/a", "fine");
  scratch.file("corpus/b", "good so far \xff not any more");
  scratch.file("corpus/c", "fine");
  const auto documents = read_all(scratch.path("corpus"));
  ASSERT_EQ(documents.size(), 3u);
  EXPECT_EQ(documents[0].error + documents[2].error, "");
  EXPECT_CONTAINS(documents[1].error, "byte 255 at offset 12");
  EXPECT_CONTAINS(documents[1].error, scratch.path("corpus/b"));
  const auto kept = read_all(scratch.path("corpus"), {.keep_invalid_utf8 = true});
  EXPECT_EQ(kept.at(1).error, "");
  EXPECT_EQ(kept.at(1).text, "good so far \xff not any more");
}

TEST(TextFile, UnreadableInputsAreRefused) {
  const TemporaryFolder scratch;
  EXPECT_CONTAINS(message_of<InputError>([&] { read_all(scratch.path("missing.txt")); }), "missing.txt");
  EXPECT_CONTAINS(message_of<InputError>([&] { read_all(""); }), "empty");
  const std::string locked = scratch.file("locked", "x");
  ASSERT_EQ(::chmod(locked.c_str(), 0), 0);
  if (::geteuid() != 0) {  // root may read everything
    EXPECT_CONTAINS(message_of<InputError>([&] { read_all(locked); }), "locked");
  }
}

TEST(Directory, GivesFilesInByteOrderOfTheirPaths) {
  const TemporaryFolder scratch;
  for (const char* name : {"b.txt", "a/z", "a.txt", "a/b/c", "B", "\xc3\xa9.txt", "a b"})
    scratch.file(name, name);
  const auto documents = read_all(scratch.path());
  EXPECT_EQ(ids_of(documents), (Names{"B", "a b", "a.txt", "a/b/c", "a/z", "b.txt", "\xc3\xa9.txt"}));
  for (const Document& document : documents) EXPECT_EQ(document.text, document.id);
  EXPECT_EQ(ids_of(read_all(scratch.path() + "/")), ids_of(documents))
      << "a slash at the end changes nothing";
}

TEST(Directory, LeavesHiddenEntriesOut) {
  const TemporaryFolder scratch;
  for (const char* name : {"seen", ".hidden", ".git/config", "a/.b", "a/c"}) scratch.file(name, "");
  EXPECT_EQ(ids_of(read_all(scratch.path())), (Names{"a/c", "seen"}));
  EXPECT_EQ(ids_of(read_all(scratch.path(".hidden"))), Names{".hidden"}) << "named outright it is read";
}

TEST(Directory, FollowsLinksButNotInCircles) {
  const TemporaryFolder scratch;
  scratch.file("outside/x", "");
  scratch.file("corpus/a/b/file", "");
  fs::create_directory_symlink(scratch.path("corpus"), scratch.path("corpus/a/b/up"));
  fs::create_directory_symlink(".", scratch.path("corpus/a/self"));
  fs::create_directory_symlink(scratch.path("outside"), scratch.path("corpus/linked"));
  fs::create_symlink(scratch.path("outside/x"), scratch.path("corpus/alias"));
  EXPECT_EQ(ids_of(read_all(scratch.path("corpus"))), (Names{"a/b/file", "alias", "linked/x"}));
  fs::create_symlink(scratch.path("gone"), scratch.path("corpus/dangling"));
  EXPECT_CONTAINS(message_of<InputError>([&] { read_all(scratch.path("corpus")); }), "dangling");
}

TEST(Directory, LeavesOutWhatIsNoFileWithoutHanging) {
  const TemporaryFolder scratch;
  scratch.file("a", "");
  ASSERT_EQ(::mkfifo(scratch.path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(ids_of(read_all(scratch.path())), Names{"a"});
}

TEST(Directory, WithoutDocumentsIsRefused) {
  const TemporaryFolder scratch;
  fs::create_directories(scratch.path("empty/inner"));
  EXPECT_CONTAINS(message_of<InputError>([&] { open_reader(scratch.path("empty"), {}); }),
                  "holds no documents");
  scratch.file("empty/.hidden", "");
  EXPECT_CONTAINS(message_of<InputError>([&] { open_reader(scratch.path("empty"), {}); }),
                  "holds no documents");
}

TEST(Directory, NamesThatAreNotUtf8AreRefused) {
  const TemporaryFolder scratch;
  scratch.file("bad\xff", "");
  EXPECT_CONTAINS(message_of<InputError>([&] { read_all(scratch.path()); }), "not valid UTF-8");
}

// Runs `body` with `content` on standard input.
template <class Body>
void with_standard_input(const std::string& path, Body&& body) {
  const int saved = ::dup(STDIN_FILENO);
  const int file = ::open(path.c_str(), O_RDONLY);
  ASSERT_GE(::dup2(file, STDIN_FILENO), 0);
  ::close(file);
  body();
  ASSERT_GE(::dup2(saved, STDIN_FILENO), 0);
  ::close(saved);
}

TEST(StandardInput, IsTextUnlessASuffixSaysOtherwise) {
  const TemporaryFolder scratch;
  const std::string path = scratch.file("in", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
  with_standard_input(path, [&] {
    const auto documents = read_all("-");
    ASSERT_EQ(documents.size(), 1u);
    EXPECT_EQ(documents[0].id, "stdin");
    EXPECT_EQ(documents[0].where, "standard input");
    EXPECT_EQ(documents[0].text, read_file(path));
  });
#ifdef RIVERRUN_TEST_JSON
  with_standard_input(path, [&] {
    const auto documents = read_all("-.jsonl");
    EXPECT_EQ(ids_of(documents), (Names{"stdin.jsonl:1", "stdin.jsonl:2"}));
    EXPECT_EQ(documents.at(1).text, "two");
    EXPECT_EQ(documents.at(1).where, "standard input line 2");
  });
#endif
}

// Gives its bytes a few at a time, as a pipe does.
class Trickle final : public ByteStream {
 public:
  Trickle(const std::string& bytes, Index step) : bytes_(bytes), step_(step) {}
  Index read(char* into, Index size) override {
    const auto got =
        static_cast<Index>(bytes_.copy(into, static_cast<std::size_t>(std::min(size, step_)), at_));
    at_ += static_cast<std::size_t>(got);
    return got;
  }

 private:
  std::string bytes_;
  Index step_;
  std::size_t at_ = 0;
};

TEST(LineReader, LinesDoNotDependOnHowTheBytesArrive) {
  const std::string content = "one\n\n" + std::string(300000, 'x') + "\nlast";
  for (const Index step : {1, 2, 7, 1000, 262144, 1000000}) {
    LineReader lines(std::make_unique<Trickle>(content, step), 64, 1000000);
    std::string_view line;
    Names got;
    while (lines.next(line)) {
      got.emplace_back(line);
      const char after = *(line.data() + line.size());
      EXPECT_TRUE(after == '\n' || after == '\0') << "a parser that runs on must meet an end";
    }
    EXPECT_EQ(got, (Names{"one", "", std::string(300000, 'x'), "last"})) << step;
  }
}

TEST(LineReader, AnEndlessLineDoesNotFillTheMemory) {
  for (const Index longest : {10, 262144, 1000000}) {
    LineReader lines(std::make_unique<Trickle>("short\n" + std::string(5000000, 'x'), 100000), 64, longest);
    std::string_view line;
    ASSERT_TRUE(lines.next(line));
    EXPECT_EQ(line, "short");
    ASSERT_TRUE(lines.next(line));
    EXPECT_GT(static_cast<Index>(line.size()), longest);
    EXPECT_LT(static_cast<Index>(line.size()), longest + 400000);
  }
}

TEST(DocumentId, MustBeFitToNameARow) {
  EXPECT_NO_THROW(check_document_id(std::string(4096, 'a'), "here"));
  for (const std::string& bad :
       {std::string(), std::string(4097, 'a'), std::string("a\0b", 3), std::string("\xc3")}) {
    EXPECT_CONTAINS(message_of<InputError>([&] { check_document_id(bad, "x.jsonl line 3"); }),
                    "x.jsonl line 3");
  }
}

}  // namespace
}  // namespace riverrun::text
