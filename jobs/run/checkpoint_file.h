// CheckpointFolder: carries on the disk, from which --resume goes on inside documents (docs/reliability.md).
//
// The folder OUTPUT.checkpoint has up to two files per document, D.0 and D.1: the newer is written aside (D.new), brought to
// the disk and renamed over the older, so that one of them is whole at any moment. Little-endian:
//
//   "rrcarry1"                                     8 bytes: the format and its version
//   int64 document, CRC-32C of its id, tokens of its sequence, next token, bytes of the identity, bytes of the carry
//   uint32 CRC-32C of the carry, CRC-32C of everything before and of the identity
//   the identity: what the run is, as lines of "name=value"
//   the carry, as ring::Carry::store() gives it
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "core/types.h"
#include "output/reader.h"
#include "ring/result.h"

namespace riverrun::jobs {

// What a carry of an output's run depends on, and what tells that run from all others: its attributes, but for those that
// say from where and how it was started.
std::string checkpoint_identity(const output::Reader& output);

class CheckpointFolder {
 public:
  struct Document {
    Index number;
    std::string id;
    Index tokens;  // of its sequence
  };

  explicit CheckpointFolder(const std::string& output) : path_(output + ".checkpoint") {}
  const std::string& path() const { return path_; }

  // Where a document can go on: the first token to read, 0 for the beginning; and what tells the file from all others.
  struct Place {
    Index next_token = 0;
    std::uint32_t crc = 0;  // of its header, which covers the carry's checksum, the document and the identity
  };

  // Those that it has files of.
  std::set<Index> documents() const;
  // The furthest place from which the document can go on. Each file that is damaged or of another run is named in a warning,
  // and not used.
  Place find(const Document& document, const std::string& identity) const;
  // The carry to go on from, as find() gave its place, there or on another rank. Error when it is gone or damaged.
  std::vector<std::byte> read(Index document, Place place) const;

  // Replaces the older of the document's files; of those that find() would take, none may reach as far as the copy. When it
  // returns, the new one is on the disk. Error when that failed; then both are as they were, or the new one has its name and
  // may be gone after a power failure.
  void write(const Document& document, const std::string& identity, const ring::CarryCopy& copy);
  void remove(Index document) const;
  // Everything that riverrun has put there, and the folder. A warning when something else is in it.
  void remove_all() const;

 private:
  std::string file(Index document, const char* ending) const;

  std::string path_;
};

}  // namespace riverrun::jobs
