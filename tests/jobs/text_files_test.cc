// Plain text files: whatever ids come in, each document has a file of its own inside the directory.

#include "jobs/texts/text_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>

#include "core/error.h"
#include "tests/support/temporary_folder.h"

namespace riverrun::jobs {
namespace {

namespace fs = std::filesystem;
using test::read_file;

class TextFilesTest : public ::testing::Test {
 protected:
  std::vector<std::string> names(const std::vector<std::string>& ids) const {
    const TextFiles files(folder_, ids);
    std::vector<std::string> out;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const fs::path path = files.path(static_cast<Index>(i));
      EXPECT_EQ(path.parent_path(), folder_);
      out.push_back(path.filename().string());
    }
    return out;
  }
  std::string name(const std::string& id) const { return names({id}).front(); }
  static std::string error_of(const auto& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::size_t entries() const { return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), {})); }

  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(TextFilesTest, NamesShowTheIdAndNeverLeaveTheDirectory) {
  EXPECT_EQ(name("kjv"), "kjv.txt");
  EXPECT_EQ(name("Chapter-1_a.md"), "Chapter-1_a.md.txt");
  EXPECT_EQ(name("../../etc/passwd"), "%2e.%2f..%2fetc%2fpasswd.txt");
  EXPECT_EQ(name("/etc/passwd"), "%2fetc%2fpasswd.txt");
  EXPECT_EQ(name("."), "%2e.txt");
  EXPECT_EQ(name(".."), "%2e..txt");
  EXPECT_EQ(name("-rf"), "%2drf.txt");
  EXPECT_EQ(name("a b%20c~1\\:*?\"<>|"), "a%20b%2520c%7e1%5c%3a%2a%3f%22%3c%3e%7c.txt");
  EXPECT_EQ(name(std::string("a\0b\n\x1b\x7f", 6)), "a%00b%0a%1b%7f.txt");
  EXPECT_EQ(name(""), "~0.txt");
}

TEST_F(TextFilesTest, CharactersBeyondAsciiStayAndBrokenOnesAreEscaped) {
  EXPECT_EQ(name("Füße/日本\xf0\x9f\x8c\x8a"), "Füße%2f日本\xf0\x9f\x8c\x8a~0.txt");
  EXPECT_EQ(name("\xff\xc3"), "%ff%c3.txt");
  EXPECT_EQ(name("\xc0\xaf\xed\xa0\x80"), "%c0%af%ed%a0%80.txt");  // an overlong "/", a surrogate
  EXPECT_EQ(name("a\xc2\x85z"), "a%c2%85z.txt");                   // a control of Unicode
}

TEST_F(TextFilesTest, WhatAFileSystemMayConfuseGetsItsRow) {
  EXPECT_EQ(names({"a", "A", "b", "a", "B.txt"}),
            (std::vector<std::string>{"a~0.txt", "A~1.txt", "b.txt", "a~3.txt", "B.txt.txt"}));
  EXPECT_EQ(names({"é", "É", "e\xcc\x81"}), (std::vector<std::string>{"é~0.txt", "É~1.txt", "e\xcc\x81~2.txt"}));
  EXPECT_EQ(names({"x", "X", "x~0"}), (std::vector<std::string>{"x~0.txt", "X~1.txt", "x%7e0.txt"}));
  EXPECT_EQ(names({"", "", "%"}), (std::vector<std::string>{"~0.txt", "~1.txt", "%25.txt"}));
}

TEST_F(TextFilesTest, LongNamesAreCutBetweenCharacters) {
  EXPECT_EQ(name(std::string(128, 'x')), std::string(128, 'x') + ".txt");
  EXPECT_EQ(name(std::string(129, 'x')), std::string(128, 'x') + "~0.txt");
  EXPECT_EQ(name(std::string(127, 'x') + "/"), std::string(127, 'x') + "~0.txt");
  EXPECT_EQ(name(std::string(126, 'x') + "日"), std::string(126, 'x') + "~0.txt");
  EXPECT_EQ(names({std::string(4096, '/'), std::string(4096, '/')}).front().size(), 126 + std::string("~0.txt").size());
}

TEST_F(TextFilesTest, HostileIdsNeverShareAFile) {
  std::mt19937 random(11);
  const std::string alphabet = std::string("aAbB./%~-0 2f\\\n\xc3\xa4\xff\xcc\x81", 21) + '\0';
  std::vector<std::string> ids;
  for (int i = 0; i < 20000; ++i) {
    std::string id;
    for (std::size_t size = random() % 5; size > 0; --size) id += alphabet[random() % alphabet.size()];
    if (i % 50 == 0) id.insert(0, std::string(126, 'x'));
    ids.push_back(id);
  }
  std::set<std::string> seen;
  for (std::string name : names(ids)) {
    EXPECT_LE(name.size(), 150u);
    EXPECT_EQ(name.find_first_of(std::string("/\\\n\xff", 4) + '\0'), std::string::npos) << name;
    EXPECT_NE(name.front(), '.');
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    EXPECT_TRUE(seen.insert(name).second) << name;
  }
}

TEST_F(TextFilesTest, ShowsSummaryAndSections) {
  const TextFiles files(folder_ / "new" / "deep", {"a", "b", "c", "d"});
  files.write(0, {"One line.", {}});
  EXPECT_EQ(read_file(files.path(0)), "One line.\n");
  files.write(1, {std::nullopt, {{0, 8192, "First."}, {8192, 10, "Last,\nin lines\n"}}});
  EXPECT_EQ(read_file(files.path(1)), "## Tokens 0 to 8191\n\nFirst.\n\n## Tokens 8192 to 8201\n\nLast,\nin lines\n");
  files.write(2, {"All.", {{0, 1, "a\xff"}}});
  EXPECT_EQ(read_file(files.path(2)), "All.\n\n## Tokens 0 to 0\n\na\xef\xbf\xbd\n");
  files.write(3, {});
  EXPECT_EQ(read_file(files.path(3)), "");
}

TEST_F(TextFilesTest, ReplacesAnOlderFileAndLeavesNothingElse) {
  const TextFiles files(folder_, {"a"});
  std::ofstream(files.path(0)) << "something longer than what comes";
  std::ofstream(files.path(0) + ".writing") << "left behind by a crash";
  files.write(0, {"new", {}});
  EXPECT_EQ(read_file(files.path(0)), "new\n");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(TextFilesTest, LinksAreReplacedAndNotFollowed) {
  const TextFiles files(folder_ / "texts", {"a"});
  const std::string target = folder_ / "precious";
  std::ofstream(target) << "keep";
  fs::create_symlink(target, files.path(0));
  fs::create_symlink(target, files.path(0) + ".writing");
  files.write(0, {"new", {}});
  EXPECT_EQ(read_file(target), "keep");
  EXPECT_EQ(read_file(files.path(0)), "new\n");
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(files.path(0))));
}

TEST_F(TextFilesTest, AFileThatCannotBeWrittenIsNamed) {
  const TextFiles files(folder_, {"a", "b"});
  fs::create_directories(fs::path(files.path(0)) / "full");
  const std::string error = error_of([&] { files.write(0, {"text", {}}); });
  EXPECT_NE(error.find(files.path(0)), std::string::npos) << error;
  EXPECT_EQ(entries(), 1u);  // the half is gone
  fs::remove_all(folder_);
  EXPECT_NE(error_of([&] { files.write(1, {"text", {}}); }).find(files.path(1)), std::string::npos);
  fs::create_directory(folder_);
}

TEST_F(TextFilesTest, ADirectoryThatCannotBeUsedIsTheUsersError) {
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THROW(TextFiles(folder_ / "file", {"a"}), InputError);
  EXPECT_THROW(TextFiles(folder_ / "file" / "below", {"a"}), InputError);
  EXPECT_THROW(TextFiles("", {"a"}), InputError);
  EXPECT_THROW(TextFiles("/proc/no_files_here", {"a"}), InputError);
  if (::geteuid() == 0) return;  // root may write anywhere
  ASSERT_EQ(::chmod(folder_.c_str(), 0500), 0);
  EXPECT_THROW(TextFiles(folder_, {"a"}), InputError);
  ASSERT_EQ(::chmod(folder_.c_str(), 0700), 0);
}

}  // namespace
}  // namespace riverrun::jobs
