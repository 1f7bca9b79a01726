#include "text/byte_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/error.h"
#include "core/stop.h"

namespace riverrun::text {
namespace {

constexpr int kAskAfter = 100;  // milliseconds

// A pipe's writer may never come, so its opening must not wait. Reading must: a file that a tape library still has to bring is not there at once.
int open_at_once(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) throw InputError(with_errno("cannot open " + path));
  if (::fcntl(file, F_SETFL, 0) != 0) {
    const std::string message = with_errno("cannot read " + path);
    ::close(file);
    throw Error(message);
  }
  return file;
}

class FileStream final : public ByteStream {
 public:
  explicit FileStream(const std::string& path) : path_(path) {
    if (is_standard_input(path)) {
      path_ = "standard input";
      file_ = STDIN_FILENO;
    } else {
      file_ = open_at_once(path);
      owned_ = true;
    }
  }
  ~FileStream() override {
    if (owned_) ::close(file_);
  }
  FileStream(const FileStream&) = delete;
  FileStream& operator=(const FileStream&) = delete;

  Index read(char* into, Index size) override {
    for (;;) {
      await_data();
      const ssize_t got = ::read(file_, into, static_cast<std::size_t>(size));
      if (got >= 0) return got;
      if (errno == EISDIR) throw InputError(path_ + " is a directory, not a file");
      if (errno != EINTR && errno != EAGAIN) throw Error(with_errno("cannot read " + path_));
    }
  }

 private:
  // A pipe may be silent for as long as its writer likes: a stop is not to wait for it. Of a regular file poll() says at once that there is data.
  void await_data() const {
    for (;;) {
      end_reading_if_stopped();
      pollfd waited{file_, POLLIN, 0};
      const int ready = ::poll(&waited, 1, kAskAfter);
      if (ready > 0) return;
      if (ready < 0 && errno != EINTR) throw Error(with_errno("cannot wait for " + path_));
    }
  }

  std::string path_;
  int file_ = -1;
  bool owned_ = false;
};

using MakeStream = std::unique_ptr<ByteStream> (*)(std::unique_ptr<ByteStream> compressed,
                                                   const std::string& name);

struct Compression {
  const char* suffix;
  const char* package;
  MakeStream make;  // null: not in this build
};

constexpr Compression kCompressions[] = {
#if RIVERRUN_WITH_ZLIB
    {".gz", "zlib", make_gzip_stream},
#else
    {".gz", "zlib", nullptr},
#endif
#if RIVERRUN_WITH_ZSTD
    {".zst", "Zstandard", make_zstd_stream},
#else
    {".zst", "Zstandard", nullptr},
#endif
};

const Compression* compression_of(const std::string& name) {
  for (const Compression& compression : kCompressions) {
    if (name.ends_with(compression.suffix)) return &compression;
  }
  return nullptr;
}

}  // namespace

bool is_standard_input(const std::string& path) { return path == "-" || path.starts_with("-."); }

std::string without_compression(const std::string& name) {
  const Compression* const compression = compression_of(name);
  return compression ? name.substr(0, name.size() - std::string(compression->suffix).size()) : name;
}

std::unique_ptr<ByteStream> open_stream(const std::string& path) {
  const Compression* const compression = compression_of(path);
  RR_CHECK_INPUT(!compression || compression->make, path, ": this build cannot read ", compression->suffix,
                 " files; install the development package of ", compression->package,
                 " and build again, or decompress the file first");
  auto file = std::make_unique<FileStream>(path);
  if (!compression) return file;
  return compression->make(std::move(file), is_standard_input(path) ? "standard input" : path);
}

}  // namespace riverrun::text
