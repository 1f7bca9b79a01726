// Carry: everything a slice hands to the next slice of its document, as the messages it travels in.
//
// Per layer: the state in `groups` of parts (so that the neighbour starts on the first heads while the last are
// still computed), the time-mix row (not of layer 0: it follows from the token id), the channel-mix row. At the end,
// when means are asked for, the running sums. Every message has a header that its receiver checks. A carry that
// stays on its rank is the same memory, handed over without being sent.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/buffer.h"
#include "core/stream.h"
#include "model/state.h"
#include "plan/plan.h"
#include "transport/transport.h"

namespace riverrun::ring {

// The messages of one carry, numbered from 0, and where they lie in memory.
class CarryLayout {
 public:
  // `sums`: how many doubles travel at the end; 0 for none.
  CarryLayout(const model::StateShape& state, Index sums);

  Index messages() const { return static_cast<Index>(offsets_.size()) - 1; }
  Index bytes() const { return offsets_.back(); }
  Index groups() const { return groups_; }
  Index first_part(Index group) const { return state_.parts * group / groups_; }
  Index parts(Index group) const { return first_part(group + 1) - first_part(group); }

  Index state(Index layer, Index group) const { return layer * (groups_ + 2) + group; }
  Index time_row(Index layer) const { return layer * (groups_ + 2) + groups_; }
  Index channel_row(Index layer) const { return layer * (groups_ + 2) + groups_ + 1; }
  Index sums() const { return state_.layers * (groups_ + 2); }

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
  std::span<std::byte> message(Index message) const;  // header and payload, as sent

  // Writes the header over a finished payload / checks what has arrived against what was expected: Error naming
  // the difference.
  void seal(Index message, Index edge, const plan::Slice& from) const;
  void verify(Index message, Index edge, const plan::Slice& from) const;

 private:
  const CarryLayout& layout_;
  Buffer memory_;
};

// The time a rank has spent waiting, a wait under way included.
class WaitClock {
 public:
  void begin() { begun_ = transport::Clock::now(); }
  void end() {
    total_ += transport::Clock::now() - begun_;
    begun_ = {};
  }
  double seconds() const {
    const auto running = begun_ == transport::Clock::time_point{} ? transport::Clock::duration{} : transport::Clock::now() - begun_;
    return std::chrono::duration<double>(total_ + running).count();
  }

 private:
  transport::Clock::time_point begun_{};
  transport::Clock::duration total_{};
};

// How many carries sent to other ranks a rank keeps before it waits for the oldest to arrive.
inline constexpr Index kCarriesInFlight = 2;

// One rank's carries: those it waits for, those it has sent and must keep until they are through, and those that
// stay here. Buffers are used again, so that memory does not grow with the number of tokens.
class CarryDesk {
 public:

  // `idle` is called while waiting; `waits` counts the time. `plan` must outlive the desk.
  CarryDesk(const plan::Plan& plan, const CarryLayout& layout, transport::Transport& transport,
            Stream stream, transport::Clock::duration timeout, WaitClock& waits, std::function<void()> idle);

  // Posts all receives for the carry that the block waits for, when it comes from another rank; once per block.
  void expect(Index block);
  // The carry that the block continues from, or null when its first slice starts a document.
  const Carry* open_incoming(Index block);
  // Waits until a message of the block's incoming carry is here, and checks it.
  void await(Index block, Index message);
  void close_incoming(Index block);

  // The carry that the block hands on, or null when its last slice ends the document. Waits while two carries sent
  // before are still under way.
  Carry* open_outgoing(Index block);
  // The message is written: send it, if its reader is another rank.
  void ready(Index block, Index message);
  void close_outgoing(Index block);

  // Waits until everything sent has arrived.
  void drain();

  Index bytes_sent() const { return bytes_sent_; }

 private:
  struct Arrival {
    std::unique_ptr<Carry> carry;
    std::vector<transport::Ticket> tickets;  // empty: it never left this rank
  };
  struct Departure {
    std::unique_ptr<Carry> carry;
    std::vector<transport::Ticket> tickets;
    Index block;
  };

  std::unique_ptr<Carry> take_buffer();
  Index tag(Index edge, Index message) const;
  void wait_for(transport::Ticket& ticket, const std::function<std::string()>& what);
  bool retire_arrived();
  void wait_for_departures(Index most);

  const plan::Plan& plan_;
  const CarryLayout& layout_;
  transport::Transport& transport_;
  Stream stream_;  // in which messages are written
  transport::Clock::duration timeout_;
  WaitClock& waits_;
  std::function<void()> idle_;
  Index edge_window_;                        // tags repeat after this many edges
  std::map<Index, Arrival> arrivals_;        // by edge
  std::deque<Departure> departures_;         // oldest first
  std::unique_ptr<Carry> outgoing_;          // of the block being computed
  std::vector<transport::Ticket> outgoing_tickets_;
  std::vector<std::unique_ptr<Carry>> free_;
  Index bytes_sent_ = 0;
};

}  // namespace riverrun::ring
