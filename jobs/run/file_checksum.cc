#include "jobs/run/file_checksum.h"

#include <algorithm>
#include <span>

#include "core/crc32c.h"
#include "core/mapped_file.h"

namespace riverrun::jobs {

namespace {
constexpr std::size_t kPiece = std::size_t{4} << 20;
}  // namespace

// Of the checksums of pieces, so that threads can share the work.
std::uint32_t checksum_of_files(const std::vector<std::string>& paths, ThreadPool& pool) {
  std::uint32_t checksum = 0;
  for (const std::string& path : paths) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    std::vector<std::uint32_t> pieces((bytes.size() + kPiece - 1) / kPiece);
    pool.run(std::ssize(pieces), [&](Index piece, int) {
      const std::size_t at = static_cast<std::size_t>(piece) * kPiece;
      pieces[piece] = crc32c(bytes.subspan(at, std::min(kPiece, bytes.size() - at)));
    });
    checksum = crc32c(std::as_bytes(std::span(pieces)), checksum);
  }
  return checksum;
}

}  // namespace riverrun::jobs
