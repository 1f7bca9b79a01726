// Mapped files: what a checkpoint reader stands on, and what a user sees who names the wrong path.
#include "core/mapped_file.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/error.h"

namespace riverrun {
namespace {

namespace fs = std::filesystem;

class MappedFileTest : public ::testing::Test {
 protected:
  // Tests may run at the same time: one directory each.
  MappedFileTest()
      : directory_(fs::temp_directory_path() /
                   concat("riverrun_mapped_", ::getpid(), "_",
                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::create_directories(directory_);
  }
  ~MappedFileTest() override { fs::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& content) const {
    const fs::path path = directory_ / name;
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }

  static std::string text_of(const MappedFile& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }

  static std::string refusal(const std::string& path) {
    try {
      MappedFile file(path);
    } catch (const InputError& error) {
      return error.what();
    }
    return "no InputError";
  }

  fs::path directory_;
};

TEST_F(MappedFileTest, HoldsTheWholeFileByteForByte) {
  std::string content(3 * 4096 + 17, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 + i / 256);
  const std::string path = write("whole", content);
  const MappedFile file(path);
  EXPECT_EQ(text_of(file), content);
  EXPECT_EQ(file.path(), path);
}

TEST_F(MappedFileTest, AnEmptyFileIsAnEmptySpan) {
  const MappedFile file(write("empty", ""));
  EXPECT_TRUE(file.bytes().empty());
}

TEST_F(MappedFileTest, AMissingFileIsTheUsersErrorWithPathAndReason) {
  const std::string path = (directory_ / "none.pth").string();
  EXPECT_EQ(refusal(path), "cannot open " + path + ": No such file or directory");
  EXPECT_NE(refusal("").find("No such file"), std::string::npos);
}

TEST_F(MappedFileTest, ADirectoryADeviceOrAPipeIsTheUsersError) {
  EXPECT_EQ(refusal(directory_.string()), directory_.string() + " is not a regular file");
  EXPECT_EQ(refusal("/dev/null"), "/dev/null is not a regular file");
  const std::string pipe = (directory_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(refusal(pipe), pipe + " is not a regular file") << "and no writer is waited for";
}

TEST_F(MappedFileTest, AFileUnderAFileSaysWhatTheSystemSays) {
  EXPECT_NE(refusal(write("file", "x") + "/inside").find("Not a directory"), std::string::npos);
}

TEST_F(MappedFileTest, OneByteIsMapped) { EXPECT_EQ(text_of(MappedFile(write("one", "x"))), "x"); }

TEST_F(MappedFileTest, ReleasedPagesReadTheSameAgain) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::string content(4 * page + 100, 'a');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i % 23);
  const MappedFile file(write("release", content));
  EXPECT_EQ(text_of(file), content);
  file.release(file.bytes().data(), file.bytes().size());
  EXPECT_EQ(text_of(file), content);
  file.release(file.bytes().data() + 1, page);  // holds no whole page
  file.release(file.bytes().data() + page + 1, 2 * page);
  file.release(file.bytes().data() + page, 0);
  EXPECT_EQ(text_of(file), content);
}

TEST_F(MappedFileTest, TheMappingOutlivesTheFilesName) {
  const std::string path = write("gone", "still here");
  const MappedFile file(path);
  fs::remove(path);
  EXPECT_EQ(text_of(file), "still here");
}

}  // namespace
}  // namespace riverrun
