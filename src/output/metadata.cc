#include "output/metadata.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "core/crc32c.h"
#include "core/error.h"

namespace riverrun::output {
namespace {

static_assert(std::endian::native == std::endian::little,
              "rows, flags and seals are written as they lie in memory");

constexpr Index kMostMetadata = Index{256} << 20;  // ours has some kilobytes; a foreign file has anything
constexpr Index kMostExtents = 64;                 // schema 1 has 16 datasets
constexpr Index kWord = sizeof(Index);
constexpr Index kSealTail = 5;  // words behind the extents: count, flag, two checksums, mark

struct Extent {
  Index offset, bytes;
};

Index seal_mark() {
  Index mark = 0;
  std::memcpy(&mark, "rr-seal1", sizeof mark);
  return mark;
}

Index checksum(std::span<const std::byte> bytes, Index before = 0) {
  return crc32c(bytes, static_cast<std::uint32_t>(before));
}

std::vector<Extent> extents_of(const std::vector<Dataset>& datasets) {
  std::vector<Extent> extents;
  for (const auto& dataset : datasets) {
    if (dataset.offset >= 0) extents.push_back({dataset.offset, dataset.bytes()});
  }
  return extents;
}

// Everything in [0, end) outside the extents, in stretches.
std::vector<Extent> metadata_outside(std::vector<Extent> data, Index end) {
  std::sort(data.begin(), data.end(), [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  std::vector<Extent> rest;
  Index at = 0;
  for (const auto& extent : data) {
    if (extent.offset > at) rest.push_back({at, extent.offset - at});
    at = std::max(at, extent.offset + extent.bytes);
  }
  if (end > at) rest.push_back({at, end - at});
  return rest;
}

Index total_bytes(const std::vector<Extent>& extents) {
  Index sum = 0;
  for (const auto& extent : extents) sum += extent.bytes;
  return sum;
}

std::string read_extent(const RawFile& file, const Extent& extent) {
  std::string bytes(static_cast<std::size_t>(extent.bytes), '\0');
  file.read(std::as_writable_bytes(std::span(bytes)), extent.offset, "the metadata");
  return bytes;
}

std::string encoded_flag(Index value) {
  constexpr std::array<unsigned char, 40> kMessage = {
      'c', 'o', 'm', 'p', 'l', 'e', 't', 'e', 0, 0, 0,  0, 0, 0, 0, 0,  // name
      16,  8,   0,   0,   8,   0,   0,   0,   0, 0, 64, 0, 0, 0, 0, 0,  // version 1 integer: signed, 64 bits
      1,   0,   0,   0,   0,   0,   0,   0};                            // version 1 dataspace: scalar
  std::string bytes(reinterpret_cast<const char*>(kMessage.data()), kMessage.size());
  return bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

Index metadata_checksum(const RawFile& file, std::vector<Extent> data, Index flag, Index end) {
  data.push_back({flag, kWord});
  Index sum = 0;
  for (const auto& extent : metadata_outside(data, end)) {
    const std::string bytes = read_extent(file, extent);
    sum = checksum(std::as_bytes(std::span(bytes)), sum);
  }
  return sum;
}

// The words of the seal at the end of the file; empty when there is none.
std::vector<Index> read_seal(const RawFile& file) {
  const Index size = file.size();
  if (size < kSealTail * kWord) return {};
  std::vector<Index> words(kSealTail);
  file.read(std::as_writable_bytes(std::span(words)), size - kSealTail * kWord, "the seal");
  const Index count = words[0];
  if (words.back() != seal_mark() || count < 0 || count > kMostExtents) return {};
  const Index all = 2 * count + kSealTail;
  if (size < all * kWord) return {};
  words.resize(static_cast<std::size_t>(all));
  file.read(std::as_writable_bytes(std::span(words)), size - all * kWord, "the seal");
  const auto covered = std::span(words).first(words.size() - 2);
  return checksum(std::as_bytes(covered)) == words[words.size() - 2] ? words : std::vector<Index>{};
}

}  // namespace

Index find_complete_flag(const RawFile& file, const std::vector<Dataset>& datasets, Index value) {
  const auto stretches = metadata_outside(extents_of(datasets), file.size());
  if (total_bytes(stretches) > kMostMetadata) return -1;
  const std::string wanted = encoded_flag(value);
  Index found = -1;
  for (const auto& extent : stretches) {
    const std::string bytes = read_extent(file, extent);
    for (auto at = bytes.find(wanted); at != std::string::npos; at = bytes.find(wanted, at + 1)) {
      if (found >= 0) return -1;
      found = extent.offset + static_cast<Index>(at + wanted.size()) - kWord;
    }
  }
  return found;
}

void write_complete_flag(RawFile& file, Index offset, Index value) {
  file.write(std::as_bytes(std::span(&value, 1)), offset, "attribute complete");
}

Index seal_bytes(const std::vector<Dataset>& datasets) {
  return (2 * static_cast<Index>(extents_of(datasets).size()) + kSealTail) * kWord;
}

void write_seal(RawFile& file, const std::vector<Dataset>& datasets, Index complete_flag, Index end) {
  const auto extents = extents_of(datasets);
  RR_CHECK(static_cast<Index>(extents.size()) <= kMostExtents,
           "too many datasets for a seal: ", extents.size());
  const Index begin = end - seal_bytes(datasets);
  std::vector<Index> words;
  for (const auto& extent : extents) words.insert(words.end(), {extent.offset, extent.bytes});
  words.push_back(static_cast<Index>(extents.size()));
  words.push_back(complete_flag);
  words.push_back(metadata_checksum(file, extents, complete_flag, begin));
  words.push_back(checksum(std::as_bytes(std::span(words))));
  words.push_back(seal_mark());
  file.write(std::as_bytes(std::span(words)), begin, "the seal");
}

void check_seal(const std::string& path) {
  const RawFile file = RawFile::for_reading(path);
  const auto words = read_seal(file);
  if (words.empty()) return;
  std::vector<Extent> extents;
  for (std::size_t i = 0; i + kSealTail < words.size(); i += 2) extents.push_back({words[i], words[i + 1]});
  const auto tail = words.end() - kSealTail;
  const Index end = file.size() - static_cast<Index>(words.size()) * kWord;
  RR_CHECK_INPUT(metadata_checksum(file, extents, tail[1], end) == tail[2], path,
                 ": its metadata does not match its checksum; the file is damaged");
}

}  // namespace riverrun::output
