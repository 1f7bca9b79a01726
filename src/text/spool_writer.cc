#include "text/spool_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/error.h"

namespace riverrun::text {
namespace {

constexpr std::size_t kBufferedIds = std::size_t{1} << 18;

}  // namespace

SpoolWriter::SpoolWriter(const std::string& path) : path_(path) {
  // Looked at before it is opened, so that a device or pipe is neither written to nor removed.
  struct stat info {};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  RR_CHECK_INPUT(!exists || S_ISREG(info.st_mode), "cannot keep tokens in ", path,
                 ": it is not a regular file; name another place");
  file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) throw InputError(with_errno("cannot create the token file " + path));
  buffer_.reserve(kBufferedIds);
}

SpoolWriter::~SpoolWriter() {
  if (finished_) return;
  if (file_ >= 0) ::close(file_);
  ::unlink(path_.c_str());  // an error is on its way already; a file left behind would only cost space
}

void SpoolWriter::write(std::span<const TokenId> ids) {
  tokens_ += static_cast<Index>(ids.size());
  if (buffer_.size() + ids.size() > kBufferedIds) flush();
  if (ids.size() > kBufferedIds) {
    write_out(ids.data(), ids.size());
  } else {
    buffer_.insert(buffer_.end(), ids.begin(), ids.end());
  }
}

void SpoolWriter::flush() {
  write_out(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void SpoolWriter::write_out(const TokenId* ids, std::size_t count) {
  const auto* at = reinterpret_cast<const char*>(ids);
  std::size_t left = count * sizeof(TokenId);
  while (left > 0) {
    const ssize_t written = ::write(file_, at, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail();
    at += written;
    left -= static_cast<std::size_t>(written);
  }
}

void SpoolWriter::finish() {
  flush();
  // A full or broken network file system may say so only now.
  const int status = ::close(file_);
  file_ = -1;
  if (status != 0) fail();
  finished_ = true;
}

void SpoolWriter::fail() const {
  throw Error(with_errno("cannot write tokens to " + path_) + "; free space there or name another place");
}

}  // namespace riverrun::text
