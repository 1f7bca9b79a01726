// Helpers of the checkpoint tests: files made in the test, byte by byte.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/error.h"
#include "tests/support/temporary_folder.h"

namespace riverrun::checkpoint {

// A file of that content for the length of a test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content = "");
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

using test::read_file;
std::string golden(const std::string& name);  // path of tests/golden/<name>

// Little-endian bytes of a number, or of several.
template <class T>
std::string le(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}
template <class T>
std::string le_all(const std::vector<T>& values) {
  std::string bytes;
  for (const T value : values) bytes += le(value);
  return bytes;
}

struct ZipMember {
  std::string name, data;
  std::string local_extra = {};  // makes the local extra field differ from the central one
  std::uint16_t method = 0;
  std::uint16_t flags = 0x0808;  // sizes in the local header are zero, as PyTorch leaves them
};
// With `zip64` every size, offset and count stands in the zip64 records, and the plain fields are all ones.
std::string make_zip(const std::vector<ZipMember>& members, bool zip64 = false,
                     const std::string& comment = "");

// Pickle protocol 2, by hand.
namespace pickle {
std::string text(const std::string& value);
std::string integer(std::int32_t value);
std::string tuple(const std::vector<std::string>& items);
std::string integers(const std::vector<std::int32_t>& values);
std::string global(const std::string& module, const std::string& name);
std::string storage(const std::string& type, const std::string& key, std::int32_t elements);
std::string tensor(const std::string& storage, std::int32_t offset, const std::vector<std::int32_t>& shape,
                   const std::vector<std::int32_t>& strides);
std::string dict(const std::vector<std::pair<std::string, std::string>>& items);  // keys are plain strings
std::string file(const std::string& top);                                         // PROTO, top, STOP
}  // namespace pickle

// A .pth of one storage "0" with those bytes.
std::string make_pth(const std::string& top, const std::string& storage, const std::string& root = "archive");

// The elements of a floating-point tensor, row-major.
std::vector<float> floats(const Tensor& tensor);

// Opening a file of that content must fail, with every one of `words` in the message, as an InputError.
void expect_refused(const std::string& content, const std::vector<std::string>& words);

}  // namespace riverrun::checkpoint
