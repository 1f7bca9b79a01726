#include <zstd.h>

#include <vector>

#include "core/error.h"
#include "text/byte_stream.h"

namespace riverrun::text {
namespace {

class ZstdStream final : public ByteStream {
 public:
  ZstdStream(std::unique_ptr<ByteStream> compressed, const std::string& name)
      : compressed_(std::move(compressed)), name_(name), buffer_(kStreamBuffer), zstd_(ZSTD_createDCtx()) {
    constexpr int kMaxWindowLog = 31;  // public corpora are packed with --long=31; the default stops at 27
    RR_CHECK(zstd_ && !ZSTD_isError(ZSTD_DCtx_setParameter(zstd_.get(), ZSTD_d_windowLogMax, kMaxWindowLog)),
             "cannot start Zstandard");
  }

  Index read(char* into, Index size) override {
    ZSTD_outBuffer out{into, static_cast<std::size_t>(size), 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size) {
        in_ = {buffer_.data(), static_cast<std::size_t>(compressed_->read(buffer_.data(), kStreamBuffer)), 0};
        // A full output buffer may have left bytes inside the decoder, so it is asked once more at the end.
        if (in_.size == 0 && (frame_ended_ || drained_)) return end();
        drained_ = in_.size == 0;
      }
      const std::size_t status = ZSTD_decompressStream(zstd_.get(), &out, &in_);
      RR_CHECK_INPUT(!ZSTD_isError(status), name_, " is not a sound Zstandard file (",
                     ZSTD_getErrorName(status), "); copy it again, or name it without .zst");
      frame_ended_ = status == 0;
    }
    drained_ = false;
    return static_cast<Index>(out.pos);
  }

 private:
  Index end() const {
    RR_CHECK_INPUT(frame_ended_, name_,
                   " ends in the middle of its Zstandard data: it was cut off; copy it again");
    return 0;
  }

  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ByteStream> compressed_;
  std::string name_;
  std::vector<char> buffer_;
  std::unique_ptr<ZSTD_DCtx, Free> zstd_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool frame_ended_ = false;  // also before the first frame: an empty file is a cut one
  bool drained_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> make_zstd_stream(std::unique_ptr<ByteStream> compressed,
                                             const std::string& name) {
  return std::make_unique<ZstdStream>(std::move(compressed), name);
}

}  // namespace riverrun::text
