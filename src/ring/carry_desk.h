// CarryDesk: the carries of one rank, on their way in, through and out.
//
// A GPU writes a message some time after the host has launched what writes it. The host goes on meanwhile, and sends each message when it
// has been written, whenever it comes by.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/stream.h"
#include "ring/carry.h"
#include "ring/wait_clock.h"
#include "transport/transport.h"

namespace riverrun::ring {

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
  // The message is written when all that was launched until now is done: to be sent then, if its reader is another rank.
  void ready(Index block, Index message);
  // Sends what has been written. Waits until at most `most` messages are still to be.
  void send_written(Index most);
  // Waits until all that was launched is done, and sends all. Unlike Stream::synchronize() it takes part in the transport meanwhile.
  void wait_for_stream();
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
  double send_seconds() const { return std::chrono::duration<double>(send_time_).count(); }  // sealing and posting

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
  struct Unwritten {
    Index block, message;
    std::unique_ptr<Mark> mark;
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
  void send_written();
  void send(Index block, Index message);
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
  std::deque<Unwritten> unwritten_;          // of the outgoing carry, in the order of the stream
  Latest latest_;
  std::vector<Buffer> free_;
  Index bytes_sent_ = 0;
  transport::Clock::duration send_time_{};
};

}  // namespace riverrun::ring
