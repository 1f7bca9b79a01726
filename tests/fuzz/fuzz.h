// What fuzz targets share. A target is one function that takes any bytes: it may throw InputError, or what its reader's header
// says, and nothing else may happen. libFuzzer calls it (preset `fuzz`); replay.cc calls it with the files of a folder.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace riverrun::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) { return {reinterpret_cast<const char*>(data), size}; }

// A property that must hold whatever the input: ends the process, which both kinds of run report.
inline void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: violated: %s\n", what);
  std::abort();
}

// A file of a folder of its own, for readers that take a path; put TMPDIR into memory.
class InputFile {
 public:
  explicit InputFile(const char* name) {
    std::string folder = (std::filesystem::temp_directory_path() / "riverrun_fuzz_XXXXXX").string();
    RR_CHECK(::mkdtemp(folder.data()) != nullptr, "cannot make a temporary folder");
    folder_ = folder;
    path_ = (folder_ / name).string();
  }
  ~InputFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& write(std::string_view bytes) const {
    std::FILE* const file = std::fopen(path_.c_str(), "wb");
    RR_CHECK(file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size() && std::fclose(file) == 0, "cannot write ", path_);
    return path_;
  }

 private:
  std::filesystem::path folder_;
  std::string path_;
};

}  // namespace riverrun::fuzz
