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
  // `sums`: how many doubles travel at the end; 0 for none. A GPU gives all parts at once: so few as go in a message would leave
  // most of it idle.
  CarryLayout(const model::StateShape& state, Index sums, DeviceKind device = DeviceKind::cpu);

  Index messages() const { return static_cast<Index>(offsets_.size()) - 1; }
  Index bytes() const { return offsets_.back(); }
  Index stored_bytes() const;  // of the payloads
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

// The time a rank has spent waiting, a wait under way included.
class WaitClock {
 public:
  using TimePoint = transport::Clock::time_point;

  void begin() { begun_ = counted_from_ = transport::Clock::now(); }
  void end() {
    total_ += since(counted_from_);
    begun_ = counted_from_ = {};
  }
  // Around work that is done in the middle of a wait, if one is under way, and is not to count as waiting.
  TimePoint pause() {
    const TimePoint begun = begun_;
    end();
    return begun;
  }
  void resume(TimePoint begun) {
    if (begun == TimePoint{}) return;
    begin();
    begun_ = begun;
  }
  // Since the wait that is under way began, pauses included.
  transport::Clock::duration under_way() const { return since(begun_); }
  double seconds() const { return std::chrono::duration<double>(total_ + since(counted_from_)).count(); }

 private:
  static transport::Clock::duration since(TimePoint time) {
    return time == TimePoint{} ? transport::Clock::duration{} : transport::Clock::now() - time;
  }

  TimePoint begun_{}, counted_from_{};  // of the wait that is under way
  transport::Clock::duration total_{};
};

// What a rank begins with a document that another run has begun: the bytes that Carry::store() gave behind the slice that
// ended before `next_token`.
using Restart = std::function<std::vector<std::byte>(Index document, Index next_token)>;

// How many carries sent to other ranks a rank keeps before it waits for one to arrive; a few plans with sections need more.
inline constexpr Index kCarriesInFlight = 2;

// One rank's carries: those it waits for, those it has sent and must keep until they are through, and those that
// stay here. Buffers are used again, so that memory does not grow with the number of tokens. The carry that was handed on
// last stays readable, for a checkpoint.
class CarryDesk {
 public:
  // `idle` is called while waiting, and may throw; `waits` counts the time. `plan` must outlive the desk.
  CarryDesk(const plan::Plan& plan, const CarryLayout& layout, transport::Transport& transport,
            Stream stream, transport::Clock::duration timeout, Index carries_in_flight, WaitClock& waits,
            std::function<void()> idle, Restart restart);

  // Posts all receives for the carry that the block waits for, when it comes from another rank; once per block.
  void expect(Index block);
  // The carry that the block continues from, or null when its first slice starts a document. A block that goes on where
  // another run stopped has one, too.
  const Carry* open_incoming(Index block);
  // Waits until a message of the block's incoming carry is here, and checks it.
  void await(Index block, Index message);
  void close_incoming(Index block);

  // The carry that the block hands on, or null when its last slice ends the document. Waits while `carries_in_flight` sent
  // before are still under way.
  Carry* open_outgoing(Index block);
  // The message is written: send it, if its reader is another rank.
  void ready(Index block, Index message);
  void close_outgoing(Index block);

  // Waits until everything sent has arrived.
  void drain();

  // Calls visit(slice, carry) for whole carries that this rank has: the last that it handed on, and those that wait for its
  // own next blocks. `slice` is the one that they come behind.
  template <class Visit>
  void for_each_whole(Visit visit) const {
    if (latest_.carry) visit(plan_.blocks[latest_.block].slices.front(), *latest_.carry);
    for (const auto& [key, arrival] : arrivals_) {
      if (arrival.from >= 0 && arrival.carry != latest_.carry) visit(plan_.blocks[arrival.from].slices.front(), *arrival.carry);
    }
  }

  Index bytes_sent() const { return bytes_sent_; }

 private:
  using Buffer = std::shared_ptr<Carry>;
  struct Arrival {
    Buffer carry;
    std::vector<transport::Ticket> tickets;  // empty: it never left this rank, or comes from another run
    Index from = -1;                         // the block that made it, when that was one of this rank's
  };
  struct Departure {
    Buffer carry;
    std::vector<transport::Ticket> tickets;
    Index block;
  };
  struct Latest {
    Buffer carry;
    Index block = -1;
  };

  Buffer take_buffer();
  void give_back(Buffer buffer);
  // What the block's incoming carry is known by: its edge, or a number below zero when it comes from another run.
  Index arrival_key(Index block) const;
  Index tag(Index edge, Index message) const;
  void wait_for(transport::Ticket& ticket, const std::function<std::string()>& what);
  bool retire_arrived();
  void wait_for_departures(Index most);

  const plan::Plan& plan_;
  const CarryLayout& layout_;
  transport::Transport& transport_;
  Stream stream_;  // in which messages are written
  transport::Clock::duration timeout_;
  Index carries_in_flight_;
  WaitClock& waits_;
  std::function<void()> idle_;
  Index edge_window_;                        // tags repeat after this many edges
  Restart restart_;
  std::map<Index, Arrival> arrivals_;        // by arrival_key()
  std::deque<Departure> departures_;         // oldest first
  Buffer outgoing_;                          // of the block being computed
  std::vector<transport::Ticket> outgoing_tickets_;
  Latest latest_;
  std::vector<Buffer> free_;
  Index bytes_sent_ = 0;
};

}  // namespace riverrun::ring
