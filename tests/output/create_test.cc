// Writer::create: what it makes, what it refuses, and what it does when the disk is full.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/create.h"
#include "output/reader.h"
#include "output/writer.h"
#include "sample.h"

namespace riverrun::output {
namespace {

using namespace testing;

TEST(Create, RefusesAnExistingFileUnlessItMayReplaceIt) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, embeddings_spec(1, 2));
  const std::string before = read_file(path);
  const std::string error = error_of([&] { Writer::create(path, embeddings_spec(9, 2)); });
  EXPECT_NE(error.find("--overwrite"), std::string::npos) << error;
  EXPECT_TRUE(is_input_error([&] { Writer::create(path, embeddings_spec(9, 2)); }));
  EXPECT_EQ(read_file(path), before);
  Writer::create(path, embeddings_spec(9, 2), true);
  EXPECT_EQ(Reader(path).documents(), 9);
  EXPECT_TRUE(is_input_error([&] { Writer::create(folder.path(), embeddings_spec(9, 2), true); }));
}

TEST(Create, LeavesOneFileAndReplacesWhatACrashLeftBehind) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  write_file(path + ".creating", "half a file");
  Writer::create(path, embeddings_spec(3, 2));
  Index files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++files;
  EXPECT_EQ(files, 1);
  EXPECT_EQ(Reader(path).documents(), 3);
}

TEST(Create, WhatAnotherProcessMakesUnderTheSameNameIsNotTakenForTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5"), aside = path + ".creating";
  Writer::create(folder.path("other.h5"), embeddings_spec(9, 2));
  const auto fill = [&](RawFile&, const std::vector<Dataset>&) { std::filesystem::rename(folder.path("other.h5"), aside); };
  const FileSpec spec = embeddings_spec(3, 2);
  const std::string error = error_of([&] { create_file(path, {spec.job, spec.attributes, datasets_of(spec)}, 0, false, fill); });
  EXPECT_NE(error.find("was removed or replaced"), std::string::npos) << error;
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Create, SaysWhyAPlaceCannotBeUsed) {
  const TemporaryFolder folder;
  const std::string path = folder.path("missing/out.h5");
  const std::string error = error_of([&] { Writer::create(path, embeddings_spec(1, 2)); });
  EXPECT_NE(error.find("No such file or directory"), std::string::npos) << error;
  EXPECT_NE(error.find(path), std::string::npos) << error;
}

TEST(Create, TheSameSpecGivesTheSameBytes) {
  const TemporaryFolder folder;
  Writer::create(folder.path("a.h5"), full_spec());
  ::sleep(1);  // a time of creation in the file would show
  Writer::create(folder.path("b.h5"), full_spec());
  EXPECT_EQ(read_file(folder.path("a.h5")), read_file(folder.path("b.h5")));
}

TEST(Create, SpaceIsReservedAndLargeDataStartsOnAPage) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, embeddings_spec(1000, 1000));
  const Reader reader(path);
  EXPECT_EQ(reader.dataset("/embeddings")->offset % 4096, 0);
  EXPECT_EQ(reader.dataset("/documents/id")->offset % 4096, 0);
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_GE(info.st_size, payload_bytes(embeddings_spec(1000, 1000)));
  EXPECT_LE(info.st_size, payload_bytes(embeddings_spec(1000, 1000)) + 6 * 8192);
  EXPECT_GE(info.st_blocks * 512, info.st_size);
}

TEST(Create, LongAndOddTextIsStoredAsValidUtf8) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  FileSpec spec = embeddings_spec(2, 2);
  spec.ids = {
      "bad\xff"
      "byte",
      std::string(4096, 'i')};
  spec.attributes = {{"command", std::string(100000, 'c')}};
  for (int i = 0; i < 50; ++i) spec.attributes.push_back({concat("option_", i), std::string(1000, 'o')});
  Writer::create(path, spec);
  const Reader reader(path);
  EXPECT_EQ(reader.ids().front(),
            "bad\xef\xbf\xbd"
            "byte");
  EXPECT_EQ(reader.ids().back(), spec.ids.back());
  EXPECT_EQ(reader.text("command"), std::string(kMostAttributeBytes - 3, 'c') + "...");
  EXPECT_EQ(reader.text("option_49"), std::string(1000, 'o'));
  spec.ids[0] = std::string(4097, 'i');
  EXPECT_TRUE(is_input_error([&] { Writer::create(folder.path("b.h5"), spec); }));
  spec = full_spec();
  spec.answers->questions[1] = std::string(65536, 'q');
  Writer::create(folder.path("c.h5"), spec);
  EXPECT_EQ(Reader(folder.path("c.h5")).strings("/questions/text", 1, 1).front(), spec.answers->questions[1]);
  spec.answers->questions[1] += "?";
  EXPECT_TRUE(is_input_error([&] { Writer::create(folder.path("d.h5"), spec); }));
}

TEST(Create, ListsThatDisagreeAreRefused) {
  const TemporaryFolder folder;
  const auto refused = [&](auto change) {
    FileSpec spec = full_spec();
    change(spec);
    const std::string error = error_of([&] { Writer::create(folder.path("x.h5"), spec); });
    return !error.empty() && std::filesystem::is_empty(folder.path());
  };
  EXPECT_TRUE(refused([](FileSpec& s) { s.tokens.pop_back(); }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.bytes.push_back(1); }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.tokens[0] = -1; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.job.clear(); }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.embedding_width = 0; }));  // windows without a width
  EXPECT_TRUE(refused([](FileSpec& s) { s.windows->document[0] = 4; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.windows->tokens[1] = 4; }));  // beyond its document
  EXPECT_TRUE(refused([](FileSpec& s) { s.windows->tokens.pop_back(); }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.states->part_shape[0] = 0; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.summaries->text_bytes = 0; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.sections->texts.most_tokens = 0; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.sections->document[2] = 4; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.sections->tokens[2] = 2; }));  // beyond its document
  EXPECT_TRUE(refused([](FileSpec& s) { s.sections->first_token.pop_back(); }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.answers->document[0] = -1; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.answers->question[0] = 2; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.answers->question.pop_back(); }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.passages->document = {2, 0}; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.passages->document[1] = 4; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.passages->text_bytes = 0; }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.windows.reset(); }));  // passages without windows
  EXPECT_TRUE(refused([](FileSpec& s) { s.attributes.push_back({"complete", Index{1}}); }));
  EXPECT_TRUE(refused([](FileSpec& s) { s.attributes.push_back({"layers", Index{1}}); }));
}

// A file system of 1 MiB that only root can mount.
class SmallDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
      GTEST_SKIP() << with_errno("needs a small file system, which cannot be mounted here");
    }
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) {
      ASSERT_EQ(::umount(folder_.path().c_str()), 0);
    }
  }
  TemporaryFolder folder_;
  bool mounted_ = false;
};

TEST_F(SmallDisk, AFullDiskIsAnErrorAtOnce) {
  const std::string path = folder_.path("out.h5");
  const std::string error = error_of([&] { Writer::create(path, embeddings_spec(1000, 1000)); });
  EXPECT_NE(error.find("No space left on device"), std::string::npos) << error;
  const auto needs = error.find("the output needs ");
  ASSERT_NE(needs, std::string::npos) << error;
  EXPECT_GE(std::stoll(error.substr(needs + 17)), payload_bytes(embeddings_spec(1000, 1000))) << error;
  EXPECT_NE(error.find("are free"), std::string::npos) << error;
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(SmallDisk, ReservedSpaceCanBeWrittenOnAFullDisk) {
  const std::string path = folder_.path("out.h5");
  Writer::create(path, embeddings_spec(100, 1000));
  std::ofstream filler(folder_.path("filler"), std::ios::binary);
  while (filler << std::string(65536, 'f') << std::flush) {
  }
  Writer writer(path);
  for (Index i = 0; i < 100; ++i) {
    writer.write_embedding(i, std::vector<float>(1000, static_cast<float>(i)));
    writer.mark_done(i);
  }
  writer.finish();
  EXPECT_EQ(Reader(path).floats("/embeddings", 99, 1), std::vector<float>(1000, 99.0f));
}

TEST(Create, AFileSystemThatCannotReserveIsUsedAllTheSame) {
  const TemporaryFolder folder;
  if (::mount("ramfs", folder.path().c_str(), "ramfs", 0, nullptr) != 0) {
    GTEST_SKIP() << with_errno("needs a file system without fallocate, which cannot be mounted here");
  }
  ::testing::internal::CaptureStderr();
  const std::string error = error_of([&] { Writer::create(folder.path("out.h5"), embeddings_spec(3, 2)); });
  const std::string log = ::testing::internal::GetCapturedStderr();
  const Index documents = error.empty() ? Reader(folder.path("out.h5")).documents() : -1;
  ASSERT_EQ(::umount(folder.path().c_str()), 0);
  EXPECT_EQ(error, "");
  EXPECT_EQ(documents, 3);
  EXPECT_NE(log.find("cannot reserve space"), std::string::npos) << log;
}

}  // namespace
}  // namespace riverrun::output
