#include "ring/verify.h"

#include <algorithm>
#include <cstring>

#include "core/crc32c.h"
#include "core/error.h"

namespace riverrun::ring {

namespace {

using transport::Transport;
using Bytes = std::vector<std::byte>;

struct ProofHeader {
  Index block;
  std::uint32_t results_crc, carry_crc, incoming_crc, own_crc;  // the last: of what stands before it
};

std::uint32_t header_crc(const ProofHeader& header) { return crc32c(std::as_bytes(std::span(&header, 1)).first(offsetof(ProofHeader, own_crc))); }

Index incoming_bytes(const plan::Block& block, const CarryLayout& layout) {
  return block.slices.front().first_token > 0 ? layout.stored_bytes() : 0;
}

Bytes pack(const BlockProof& proof) {
  ProofHeader header{proof.block, proof.results_crc, proof.carry_crc, crc32c(proof.incoming), 0};
  header.own_crc = header_crc(header);
  Bytes bytes(sizeof header + proof.incoming.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  std::ranges::copy(proof.incoming, bytes.begin() + sizeof header);
  return bytes;
}

BlockProof unpack(const Bytes& bytes, Index block, int from) {
  ProofHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  BlockProof proof{header.block, header.results_crc, header.carry_crc, {bytes.begin() + sizeof header, bytes.end()}};
  RR_CHECK(header.own_crc == header_crc(header) && header.incoming_crc == crc32c(proof.incoming) && header.block == block,
           "what block ", block, " began with came damaged from rank ", from);
  return proof;
}

std::string describe(const plan::Block& block) {
  const plan::Slice& first = block.slices.front();
  return concat("document ", first.document, ", tokens ", first.first_token, " to ", first.first_token + first.tokens - 1,
                block.slices.size() > 1 ? concat(" and ", block.slices.size() - 1, " documents more") : "");
}

void compare(const BlockProof& first, const BlockProof& again, const plan::Block& block, int from, int here) {
  const bool results = first.results_crc != again.results_crc, carry = first.carry_crc != again.carry_crc;
  if (!results && !carry) return;
  throw Error(concat("--verify: block ", first.block, " (", describe(block), ") came to ",
                     results && carry ? "other results and another state" : results ? "other results" : "another state", " on rank ", here,
                     " than on rank ", from, ": one of the two computes or remembers wrongly, or runs another build or kind of processor; "
                     "do not trust this output"));
}

}  // namespace

std::vector<Index> blocks_to_verify(const plan::Plan& plan, int rank, Index count) {
  const auto& all = plan.of_rank[rank];
  const Index most = std::min<Index>(count, std::ssize(all));
  std::vector<Index> chosen;
  for (Index i = 0; i < most; ++i) chosen.push_back(all[(2 * i + 1) * std::ssize(all) / (2 * most)]);
  return chosen;
}

Index verify_blocks(const plan::Plan& plan, const CarryLayout& layout, Transport& transport, transport::Clock::duration timeout, Index count,
                    std::vector<BlockProof> mine, ProofMessages& messages, const std::function<BlockProof(const BlockProof&)>& compute_again) {
  const int ranks = transport.size(), here = transport.rank(), next = (here + 1) % ranks, from = (here + ranks - 1) % ranks;
  const auto wait = [&](transport::Ticket ticket, const char* what) {
    transport::wait_until(transport, [&] { return transport.done(ticket); }, timeout, [&] { return std::string(what); });
  };
  const std::vector<Index> blocks = blocks_to_verify(plan, from, count);
  auto& [sent, received] = messages;
  std::vector<transport::Ticket> receives, sends;
  for (const Index block : blocks) received.emplace_back(sizeof(ProofHeader) + static_cast<std::size_t>(incoming_bytes(plan.blocks[block], layout)));
  for (BlockProof& proof : mine) {
    sent.push_back(pack(proof));
    proof.incoming = {};
  }
  if (ranks == 1) {
    received = std::move(sent);
  } else {
    for (std::size_t i = 0; i < received.size(); ++i) receives.push_back(transport.post_receive(from, static_cast<Index>(i) % transport.most_tag(), received[i]));
    for (std::size_t i = 0; i < sent.size(); ++i) sends.push_back(transport.post_send(next, static_cast<Index>(i) % transport.most_tag(), sent[i]));
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (ranks > 1) wait(receives[i], "the rank before this one to say what its blocks came to");
    const BlockProof proof = unpack(received[i], blocks[i], from);
    received[i] = {};
    compare(proof, compute_again(proof), plan.blocks[blocks[i]], from, here);
    transport.note_step();
  }
  for (const auto ticket : sends) wait(ticket, "the next rank to take what blocks came to");
  messages = {};
  return std::ssize(blocks);
}

}  // namespace riverrun::ring
