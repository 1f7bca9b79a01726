// LineReader: the lines of a stream, in place.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "core/buffer.h"
#include "text/byte_stream.h"

namespace riverrun::text {

class LineReader {
 public:
  // `padding` bytes after a line may be read by the caller, whatever they hold; the first ends the line: it
  // is a line feed, or a NUL after a last line without one. A line longer than `longest` comes cut, but still
  // longer than that, for the caller to refuse; nothing may be read after it.
  LineReader(std::unique_ptr<ByteStream> stream, Index padding, Index longest)
      : stream_(std::move(stream)), padding_(padding), longest_(longest), buffer_(kStreamBuffer + padding) {}

  // The next line without its line feed, valid until the next call; false at the end. The bytes after a last
  // line feed are no line.
  bool next(std::string_view& line) {
    Index searched = begin_;
    for (;;) {
      const void* const found = std::memchr(at(searched), '\n', static_cast<std::size_t>(end_ - searched));
      if (found) {
        line = {at(begin_), static_cast<const char*>(found)};
        begin_ += static_cast<Index>(line.size()) + 1;
        return true;
      }
      const Index kept = end_ - begin_;
      if (kept > longest_ || !fill()) {
        line = {at(begin_), static_cast<std::size_t>(kept)};
        begin_ = end_;
        return kept > 0;
      }
      searched = begin_ + kept;
    }
  }

 private:
  char* at(Index offset) const { return buffer_.as<char>() + offset; }

  // Gets more bytes behind those of the unfinished line; false at the end of the stream.
  bool fill() {
    const Index kept = end_ - begin_;
    if (const Index room = buffer_.bytes() - padding_; kept == room) {
      Buffer larger(std::min(2 * room, std::max(longest_ + 1, room + kStreamBuffer)) + padding_);
      std::memcpy(larger.data(), at(begin_), static_cast<std::size_t>(kept));
      buffer_ = std::move(larger);
    } else if (begin_ > 0) {
      std::memmove(buffer_.data(), at(begin_), static_cast<std::size_t>(kept));
    }
    begin_ = 0;
    end_ = kept;
    const Index got = stream_->read(at(end_), buffer_.bytes() - padding_ - end_);
    if (got == 0) *at(end_) = '\0';
    end_ += got;
    return got > 0;
  }

  std::unique_ptr<ByteStream> stream_;
  Index padding_, longest_;
  Buffer buffer_;
  Index begin_ = 0, end_ = 0;  // the bytes read and not yet given out
};

}  // namespace riverrun::text
