// A file descriptor that writes whole pieces where they belong, and says what it was doing when it could not.
#pragma once

#include <span>
#include <string>

#include "core/types.h"

namespace riverrun::output {

class RawFile {
 public:
  RawFile() = default;
  explicit RawFile(
      const std::string& path);  // opens an existing file for reading and writing; else InputError
  static RawFile for_reading(const std::string& path);
  RawFile(RawFile&& other) noexcept;
  RawFile& operator=(RawFile&& other) noexcept;
  ~RawFile();

  Index size() const;
  // Error unless path() still names this file: someone may have removed or replaced it.
  void check_still_named() const;
  // `what` completes "cannot write ...", as in "row 12 of /embeddings".
  void write(std::span<const std::byte> bytes, Index offset, const std::string& what);
  void read(std::span<std::byte> bytes, Index offset, const std::string& what) const;
  void sync_data();  // fdatasync
  void sync();       // fsync: sizes and times as well

  // Takes the blocks of the whole file from the file system now. A full disk is an Error that says how much
  // is needed and how much is free; a file system that cannot reserve is a line in the log.
  void reserve(Index bytes);

  const std::string& path() const { return path_; }

 private:
  RawFile(const std::string& path, int flags, const char* doing);

  std::string path_;
  int descriptor_ = -1;
};

// Makes a rename inside the directory of `path` durable.
void sync_directory_of(const std::string& path);

// Free bytes for this user on the file system of `path`, -1 when it does not say.
Index free_bytes(const std::string& path);

// Error when that file system says that it has fewer bytes free.
void check_room(const std::string& path, Index bytes);
// Error when this process may not write a file as large (ulimit -f).
void check_size_limit(const std::string& path, Index bytes);

}  // namespace riverrun::output
