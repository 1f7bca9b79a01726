// Joining the outputs of the shards of a corpus into the one file that a single run would have written.
#pragma once

#include <string>
#include <vector>

#include "output/schema.h"

namespace riverrun::output {

struct MergeOptions {
  bool allow_incomplete = false;      // take files with pending documents; they stay pending
  bool replace = false;               // an existing output
  std::vector<Attribute> attributes;  // command, created, riverrun_version: of this merge
};

struct Merged {
  Index documents = 0, failed = 0, pending = 0;
};

// Writes `path` from the files `inputs`: their documents one file after the other, or, where they record that
// they are shards of one input (attributes `shard`, `shards`), in the order of that input. Every dataset is
// joined; those that name a document name its new row. Attributes on which all must agree are kept; those
// that only describe a run go to the group /shards, with one row per file in the order given. Rows are copied
// in pieces, bytes as they are: memory is that of the lists of documents and parts. The file appears when it
// is whole and on the disk.
//
// InputError, and nothing written, when a file is no output of schema 1 that riverrun wrote, is unfinished,
// is itself merged, or was made by another model or with other options than the first; when shards of an
// input are missing or given twice; when two documents have the same id; when `path` exists (unless
// `replace`) or is one of `inputs`.
Merged merge(const std::string& path, const std::vector<std::string>& inputs, const MergeOptions& options);

}  // namespace riverrun::output
