// MappedFile: a whole file, read-only, in memory as the system pages it in.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/types.h"

namespace riverrun {

class MappedFile {
 public:
  // Throws InputError with the system's reason. An empty file maps to an empty span.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  // Gives the pages that lie wholly inside [data, data + size) back to the system; they are read again from the
  // file when touched. Keeps the peak of a load near the size of what is kept.
  void release(const std::byte* data, std::size_t size) const;

 private:
  std::string path_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace riverrun
