#include <zlib.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "text/byte_stream.h"

namespace riverrun::text {
namespace {

// zlib's own gzread passes files that are not gzip through and drops what follows the last member; both would
// hide a damaged input, so members are walked here.
class GzipStream final : public ByteStream {
 public:
  GzipStream(std::unique_ptr<ByteStream> compressed, const std::string& name)
      : compressed_(std::move(compressed)), name_(name), buffer_(kStreamBuffer) {
    constexpr int kGzipOnly = 16;  // added to the window bits: neither zlib nor raw streams are accepted
    RR_CHECK(inflateInit2(&zlib_, MAX_WBITS + kGzipOnly) == Z_OK, "cannot start zlib");
  }
  ~GzipStream() override { inflateEnd(&zlib_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  Index read(char* into, Index size) override {
    const auto room = static_cast<uInt>(std::min<Index>(size, Index{1} << 30));
    zlib_.next_out = reinterpret_cast<Bytef*>(into);
    zlib_.avail_out = room;
    while (zlib_.avail_out == room) {
      if (zlib_.avail_in == 0) fill();
      if (zlib_.avail_in == 0) {
        RR_CHECK_INPUT(between_members_ && members_ > 0, name_,
                       " ends in the middle of its gzip data: it was cut off; copy it again");
        return 0;
      }
      if (between_members_ && !start_member()) continue;
      inflate_some();
    }
    return room - zlib_.avail_out;
  }

 private:
  void fill() {
    zlib_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
    zlib_.avail_in = static_cast<uInt>(compressed_->read(buffer_.data(), static_cast<Index>(buffer_.size())));
  }

  // Tapes and block devices pad the last member with zeros, which gzip itself ignores too.
  bool start_member() {
    if (members_ > 0 && *zlib_.next_in == 0) {
      padded_ = true;
      ++zlib_.next_in, --zlib_.avail_in;
      return false;
    }
    RR_CHECK_INPUT(!padded_, name_, " holds bytes after its gzip data; remove them or decompress it by hand");
    between_members_ = false;
    return true;
  }

  void inflate_some() {
    const int status = inflate(&zlib_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {
      ++members_;
      between_members_ = true;
      RR_CHECK(inflateReset(&zlib_) == Z_OK, "cannot restart zlib");
      return;
    }
    if (status == Z_MEM_ERROR) throw Error("not enough memory to decompress " + name_);
    RR_CHECK_INPUT(status == Z_OK || status == Z_BUF_ERROR, name_, " is not a sound gzip file (",
                   zlib_.msg ? zlib_.msg : "unexpected data", "); copy it again, or name it without .gz");
  }

  std::unique_ptr<ByteStream> compressed_;
  std::string name_;
  std::vector<char> buffer_;
  z_stream zlib_{};
  Index members_ = 0;
  bool between_members_ = true, padded_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> make_gzip_stream(std::unique_ptr<ByteStream> compressed,
                                             const std::string& name) {
  return std::make_unique<GzipStream>(std::move(compressed), name);
}

}  // namespace riverrun::text
