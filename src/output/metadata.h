// The bytes of an output file that are not rows: where `complete` lies among them, and a checksum over them.
//
// They are written once and never change, but for the attribute `complete`. Two things follow.
//
// finish() sets `complete` with one write of 8 bytes instead of opening the file with HDF5 for writing, which
// would rewrite metadata and could leave an unreadable file behind a crash. The attribute is looked up by its
// exact encoding, version 1 of the attribute message in the HDF5 file format specification (IV.A.2.m): the
// name, its type and its space, each padded to 8 bytes, then the value.
//
// A seal behind the end of the HDF5 data keeps a CRC-32C of all metadata, because the HDF5 library can crash
// on damaged metadata. HDF5 ignores it, and cuts it off when it opens the file for writing; a file without
// one is read unchecked. Layout, little-endian int64: offset and size of each dataset's data; their count;
// offset of the value of `complete`; CRC of the metadata without that value; CRC of everything before; the
// letters "rr-seal1".
#pragma once

#include <vector>

#include "output/raw_file.h"
#include "output/schema.h"

namespace riverrun::output {

// Offset of the value of `complete`, looked for outside the extents of `datasets`, where a text could pose as
// it. -1 unless there is exactly one place that holds the attribute with this value.
Index find_complete_flag(const RawFile& file, const std::vector<Dataset>& datasets, Index value);

void write_complete_flag(RawFile& file, Index offset, Index value);

Index seal_bytes(const std::vector<Dataset>& datasets);

// Writes the seal at `end`, which is where the file will end.
void write_seal(RawFile& file, const std::vector<Dataset>& datasets, Index complete_flag, Index end);

// InputError when the file has a seal that its metadata does not match.
void check_seal(const std::string& path);

}  // namespace riverrun::output
