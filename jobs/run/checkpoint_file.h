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

  // Those that it has files of.
  std::set<Index> documents() const;
  // The furthest place from which the document can go on: the first token to read; 0: the beginning. Each file that is damaged
  // or of another run is named in a warning, and not used.
  Index find(const Document& document, const std::string& identity) const;
  // The carry to go on from at `next_token`, as find() gave it, there or on another rank. Error when it is gone or damaged.
  std::vector<std::byte> read(Index document, Index next_token) const;

  // Replaces the older of the document's files. When it returns, the new one is on the disk. Error when that failed; then both
  // are as they were.
  void write(const Document& document, const std::string& identity, const ring::CarryCopy& copy);
  void remove(Index document) const;
  // Everything that riverrun has put there, and the folder. A warning when something else is in it.
  void remove_all() const;

 private:
  std::string file(Index document, const char* ending) const;

  std::string path_;
};

}  // namespace riverrun::jobs
