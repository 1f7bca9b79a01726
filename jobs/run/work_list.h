// WorkList: what rank 0 has found out that all ranks need, small enough for millions of documents.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/types.h"

namespace riverrun::jobs {

struct WorkList {
  std::string spool_path;
  Index spool_tokens = 0;
  Index start_tokens = 0;           // leading ids that are not a document's own: 0 or 1
  Index block_tokens = 0;
  std::vector<Index> first;         // per document: of its ids in the spool
  std::vector<Index> length;        // per document: ids to compute, 0 for one that is settled
  std::vector<Index> begin;         // per document: the first id still to be computed, 0 for all of them; or empty: all are 0
  std::vector<std::uint32_t> begin_crc;  // per document, beside `begin`: of the checkpoint that it goes on from (CheckpointFolder::Place)
  std::vector<std::uint64_t> key;   // per document: of its random numbers; empty when none are drawn
};

std::vector<std::byte> pack(const WorkList& list);
WorkList unpack_work_list(std::span<const std::byte> bytes);  // Error for bytes that pack() did not make

}  // namespace riverrun::jobs
