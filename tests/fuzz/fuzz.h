// What fuzz targets share. A target is one function that takes any bytes: it may throw InputError, or what its reader's header
// says, and nothing else may happen. libFuzzer calls it (preset `fuzz`); replay.cc calls it with the files of a folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"
#include "tests/support/temporary_folder.h"

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
  explicit InputFile(const char* name) : path_(folder_.path(name)) {}
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& write(std::string_view bytes) const {
    std::FILE* const file = std::fopen(path_.c_str(), "wb");
    RR_CHECK(file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size() && std::fclose(file) == 0, "cannot write ", path_);
    return path_;
  }

 private:
  test::TemporaryFolder folder_;
  std::string path_;
};

}  // namespace riverrun::fuzz
