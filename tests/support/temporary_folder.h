// A new folder for the length of a test, and what is in files.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "core/error.h"

namespace riverrun::test {

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  RR_CHECK(in.good(), path, " cannot be read");
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::string& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary);
  out << content;
  out.close();
  RR_CHECK(out.good(), path, " cannot be written");
}

// Lies in the system's temporary folder.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    root_ = (std::filesystem::temp_directory_path() / "riverrun_test_XXXXXX").string();
    RR_CHECK(::mkdtemp(root_.data()), with_errno("cannot make " + root_));
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return root_; }
  std::string path(const std::string& name) const { return root_ + "/" + name; }

  // Writes a file, with the folders above it, and returns its path.
  std::string file(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    write_file(path(name), content);
    return path(name);
  }

 private:
  std::string root_;
};

}  // namespace riverrun::test
