// Verify: some of every rank's blocks are computed once more by the next rank, from the same incoming carry. They must come to
// the same bytes (docs/ring.md), so a machine that computes or remembers wrongly shows.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "plan/plan.h"
#include "ring/carry.h"
#include "transport/transport.h"

namespace riverrun::ring {

// A block, where it began, and what it came to.
struct BlockProof {
  Index block = -1;
  std::uint32_t results_crc = 0, carry_crc = 0;  // CRC-32C of all its results, and of the carry it hands on; 0: none
  std::vector<std::byte> incoming;               // Carry::store(); empty for a block that continues nothing
};

// So many of the rank's blocks, or all if it has no more, spread evenly and in its order.
std::vector<Index> blocks_to_verify(const plan::Plan& plan, int rank, Index count);

// What travels from a rank to the next.
struct ProofMessages {
  std::vector<std::vector<std::byte>> sent, received;
};

// Called by all ranks at once. `mine`: of blocks_to_verify(plan, this rank, count), in their order; `compute_again` gives what
// a block comes to here. When that throws, `messages` must live until the transport has abandoned them. Returns how many blocks
// of the rank before this one have come to the same; Error, with the block and both ranks, for the first that has not.
Index verify_blocks(const plan::Plan& plan, const CarryLayout& layout, transport::Transport& transport, transport::Clock::duration timeout,
                    Index count, std::vector<BlockProof> mine, ProofMessages& messages,
                    const std::function<BlockProof(const BlockProof&)>& compute_again);

}  // namespace riverrun::ring
