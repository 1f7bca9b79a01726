// Carry: everything a slice hands to the next slice of its document, as the messages it travels in.
//
// Per layer: the state in `groups` of parts (so that the neighbour starts on the first heads while the last are
// still computed), the time-mix row (not of layer 0: it follows from the token id), the channel-mix row. At the end,
// when means are asked for, the running sums. Every message has a header that its receiver checks. A carry that
// stays on its rank is the same memory, handed over without being sent.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "model/state.h"
#include "plan/plan.h"

namespace riverrun::ring {

// The messages of one carry, numbered from 0, and where they lie in memory.
class CarryLayout {
 public:
  // `sums`: how many doubles travel at the end; 0 for none. A GPU gives all parts at once: so few as go in a message would leave
  // most of it idle.
  CarryLayout(const model::StateShape& state, Index sums, DeviceKind device = DeviceKind::cpu);

  Index messages() const { return static_cast<Index>(offsets_.size()) - 1; }
  Index bytes() const { return offsets_.back(); }
  Index stored_bytes() const;  // of the payloads
  Index groups() const { return groups_; }
  Index messages_of_layer() const { return groups_ + 2; }
  Index first_part(Index group) const { return state_.parts * group / groups_; }
  Index parts(Index group) const { return first_part(group + 1) - first_part(group); }

  Index state(Index layer, Index group) const { return layer * messages_of_layer() + group; }
  Index time_row(Index layer) const { return layer * messages_of_layer() + groups_; }
  Index channel_row(Index layer) const { return layer * messages_of_layer() + groups_ + 1; }
  Index sums() const { return state_.layers * messages_of_layer(); }

  Index offset(Index message) const { return offsets_[message]; }           // of its header
  Index payload_bytes(Index message) const { return payloads_[message]; }
  std::string describe(Index message) const;                                // "the state of layer 3, heads 0 to 3"

 private:
  model::StateShape state_;
  Index groups_;
  std::vector<Index> offsets_;   // messages() + 1
  std::vector<Index> payloads_;  // messages()
};

// One carry in shared memory: header and payload of each message.
class Carry {
 public:
  Carry(const CarryLayout& layout, Device& device) : layout_(layout), memory_(layout.bytes(), device, Memory::shared) {}

  float* floats(Index message) const;
  double* sums() const;
  void copy_to(model::State& state) const;  // all but the time-mix row of layer 0, which is not in a carry
  // The payloads one after the other; load() takes exactly stored_bytes().
  std::vector<std::byte> store() const;
  void load(std::span<const std::byte> bytes);
  std::span<std::byte> message(Index message) const;  // header and payload, as sent

  // Writes the header over a finished payload / checks what has arrived against what was expected: Error naming
  // the difference.
  void seal(Index message, Index edge, const plan::Slice& from) const;
  void verify(Index message, Index edge, const plan::Slice& from) const;

 private:
  const CarryLayout& layout_;
  Buffer memory_;
};

}  // namespace riverrun::ring
