// ByteStream: the bytes of an input file, decompressed on the way.
#pragma once

#include <memory>
#include <string>

#include "core/types.h"

namespace riverrun::text {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Puts up to `size` > 0 bytes into `into` and returns how many; 0 only at the end. Throws InputError when
  // the stream is damaged or ends too early, Error when the system cannot read it.
  virtual Index read(char* into, Index size) = 0;
};

// Bytes decompressors ask for at a time.
inline constexpr Index kStreamBuffer = Index{256} << 10;

// Opens a file, or standard input when `path` is "-" and a suffix ("-", "-.jsonl.gz"). A name that ends in
// .gz or .zst is decompressed; it must then be such a file. All members of a gzip file and all frames of a
// Zstandard file are read as one stream; Zstandard windows up to 2 GiB (--long=31) are accepted. Throws
// InputError when the file cannot be opened, is a directory, or needs a package that this build lacks.
std::unique_ptr<ByteStream> open_stream(const std::string& path);

bool is_standard_input(const std::string& path);

// `name` without a compression suffix: "a.jsonl.gz" -> "a.jsonl".
std::string without_compression(const std::string& name);

// The decompressors; `name` is for messages. Each lives in its own file and is there when its package is.
std::unique_ptr<ByteStream> make_gzip_stream(std::unique_ptr<ByteStream> compressed, const std::string& name);
std::unique_ptr<ByteStream> make_zstd_stream(std::unique_ptr<ByteStream> compressed, const std::string& name);

}  // namespace riverrun::text
