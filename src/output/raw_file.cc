#include "output/raw_file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/log.h"

namespace riverrun::output {
namespace {

constexpr std::size_t kMostPerCall = std::size_t{1} << 30;  // Linux moves less than 2 GiB per call

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  const bool full = errno == ENOSPC || errno == EDQUOT;
  const std::string words = with_errno(concat(path, ": cannot ", what));
  if (!full) throw Error(words);
  throw Error(concat(words, " (", free_bytes(path),
                     " bytes are free there); make room, then run again with --resume"));
}

// fsync or fdatasync, again when a signal breaks it off.
int repeated(int (*sync)(int), int descriptor) {
  int result = -1;
  do {
    result = sync(descriptor);
  } while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

RawFile::RawFile(const std::string& path, int flags, const char* doing)
    : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC)) {
  if (descriptor_ < 0) throw InputError(with_errno(concat(path, ": cannot ", doing)));
  struct stat info {};
  if (::fstat(descriptor_, &info) == 0 && S_ISREG(info.st_mode)) return;
  ::close(descriptor_);
  throw InputError(path + ": is not a regular file");
}

RawFile::RawFile(const std::string& path) : RawFile(path, O_RDWR, "open for writing") {}

RawFile RawFile::for_reading(const std::string& path) { return RawFile(path, O_RDONLY, "open"); }

RawFile::RawFile(RawFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

RawFile& RawFile::operator=(RawFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

RawFile::~RawFile() {
  if (descriptor_ >= 0) ::close(descriptor_);  // everything that matters was synced before
}

Index RawFile::size() const {
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0) fail(path_, "ask for its size");
  return info.st_size;
}

void RawFile::check_still_named() const {
  struct stat open {}, named {};
  if (::fstat(descriptor_, &open) != 0) fail(path_, "ask for its place");
  const bool there = ::stat(path_.c_str(), &named) == 0 && named.st_ino == open.st_ino && named.st_dev == open.st_dev;
  if (!there) throw Error(path_ + ": was removed or replaced while this job was writing it");
}

void RawFile::write(std::span<const std::byte> bytes, Index offset, const std::string& what) {
  while (!bytes.empty()) {
    const auto done = ::pwrite(descriptor_, bytes.data(), std::min(bytes.size(), kMostPerCall), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail(path_, concat("write ", what, " (", bytes.size(), " bytes at ", offset, ")"));
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += done;
  }
}

void RawFile::read(std::span<std::byte> bytes, Index offset, const std::string& what) const {
  while (!bytes.empty()) {
    const auto done = ::pread(descriptor_, bytes.data(), std::min(bytes.size(), kMostPerCall), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail(path_, concat("read ", what, " (", bytes.size(), " bytes at ", offset, ")"));
    RR_CHECK_INPUT(done > 0, path_, ": ends before ", what, " at byte ", offset, "; the file is cut off");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += done;
  }
}

void RawFile::sync_data() {
  if (repeated(::fdatasync, descriptor_) != 0) fail(path_, "bring its rows to the disk");
}

void RawFile::sync() {
  if (repeated(::fsync, descriptor_) != 0) fail(path_, "bring the file to the disk");
}

void RawFile::reserve(Index bytes) {
  if (bytes == 0) return;
  // fallocate, not posix_fallocate: where the file system cannot reserve, glibc would write to every block
  // instead.
  const Index free = free_bytes(path_);  // asked first: a call that fails may have taken part of it
  int result = -1;
  do {
    result = ::fallocate(descriptor_, 0, 0, bytes);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (errno == EOPNOTSUPP || errno == ENOSYS) {
    log_warning(path_,
                ": this file system cannot reserve space; a full disk would show only when it is full");
    return;
  }
  const bool full = errno == ENOSPC || errno == EDQUOT;
  const std::string words = with_errno(concat(path_, ": cannot reserve ", bytes, " bytes"));
  if (!full) throw Error(words);
  throw Error(concat(words, "; the output needs ", bytes, " bytes and ", free,
                     " are free there: make room or write to another file system"));
}

void sync_directory_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  const std::string directory = parent.empty() ? "." : parent.string();
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(directory, "open the directory");
  const int result = repeated(::fsync, descriptor);
  const int error = errno;
  ::close(descriptor);
  errno = error;
  // Some network file systems have no such thing for a directory; their renames are durable by themselves or
  // never.
  if (result != 0 && error != EINVAL) fail(directory, "bring the directory to the disk");
}

Index free_bytes(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0 || info.f_blocks == 0) return -1;  // without blocks: in memory, without a limit
  return static_cast<Index>(info.f_bavail) * static_cast<Index>(info.f_frsize);
}

void check_room(const std::string& path, Index bytes) {
  const Index free = free_bytes(path);
  if (free < 0 || bytes <= free) return;
  throw Error(concat(path, ": cannot reserve space: its metadata alone need ", bytes, " bytes and ", free,
                     " are free there: make room or write to another file system"));
}

void check_size_limit(const std::string& path, Index bytes) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) throw Error(with_errno("the limit of file sizes"));
  if (limit.rlim_cur == RLIM_INFINITY || static_cast<rlim_t>(bytes) <= limit.rlim_cur) return;
  throw Error(concat(path, ": cannot reserve space: the output needs ", bytes, " bytes and files are limited to ", limit.rlim_cur,
                     " here: raise the limit (ulimit -f)"));
}

}  // namespace riverrun::output
