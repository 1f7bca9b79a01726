// Nccl: ranks with a GPU each, whose messages go by NCCL, and everything else by MPI.
//
// NCCL knows no tags, and its two sides must agree on an order. So the sender decides, and says it in notes by MPI:
//   receiver: ready(tag, bytes)          when a receive has been posted
//   sender:   connect                    before its first message to a rank
//   sender:   go(tag, bytes), ..., go_last(tag, bytes)    a group, which it starts when its lane is free
//   receiver: starts the same group when its own lane is free; what others have started meanwhile waits
// docs/decisions/0014-nccl-transport.md says why nothing waits in a circle.
#pragma once

#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/buffer.h"
#include "transport/mpi_notes.h"
#include "transport/mpi_transport.h"
#include "transport/nccl_lane.h"

namespace riverrun::transport {

class Nccl final : public Mpi {
 public:
  explicit Nccl(const Options& options);  // MPI is started

  const char* name() const override { return "nccl"; }
  Index most_tag() const override { return std::numeric_limits<Index>::max(); }

  // Connects the ring, on all ranks. What keeps NCCL from it, the same on all ranks; empty: nothing.
  std::string start();

  Ticket post_receive(int peer, Index tag, std::span<std::byte> bytes) override;
  Ticket post_send(int peer, Index tag, std::span<const std::byte> bytes) override;
  bool done(Ticket ticket) override;
  void progress() override;
  void abandon(Clock::duration timeout) override;

 protected:
  std::size_t open_messages() const override { return open_.size(); }
  void disconnect() override;
  void disconnect_at_once() noexcept override;

 private:
  enum class NoteKind : Index { ready, connect, go, go_last };
  struct Note {
    NoteKind kind;
    Index tag = 0, bytes = 0;
  };
  struct Address {
    int peer;
    Index tag;
    auto operator<=>(const Address&) const = default;
  };
  // Per address, oldest first.
  template <class T>
  using Waiting = std::map<Address, std::deque<T>>;

  struct Message {
    Address address;
    std::byte* data;
    Index bytes;
    Buffer staging;  // in place of `data` where the GPU does not reach it
    bool receives = false, through = false;
    Index got = 0;   // by a receive
    NcclLane::Part part(Ticket ticket) const { return {ticket, staging.bytes() > 0 ? staging.data() : data, bytes}; }
  };
  struct Sendable {
    Ticket ticket;
    Index wanted;  // bytes of its receive
  };
  struct Arrival {
    int peer;
    std::vector<NcclLane::Part> group;
  };

  Message& open(int peer, Index tag, std::byte* data, Index bytes);
  void move();
  void post_note(int peer, const Note& note);
  void read_notes(int peer, std::span<const std::byte> notes);
  void take_ready(Address address, Index bytes);
  void take_go(Address address, Index bytes, bool last);
  NcclPair& sending_pair(int peer);
  bool settled();  // every pair
  void start_outgoing();
  void start_incoming();
  void see_through(const std::vector<NcclLane::Part>& group);
  template <class T>
  static std::optional<T> take_first(Waiting<T>& waiting, Address address);

  Device& device_;
  MpiNotes notes_;
  std::map<int, NcclPair> sending_, receiving_;  // by the other rank
  NcclLane out_, in_;
  std::vector<std::vector<NcclLane::Part>> coming_;  // by sender: of the group whose last note is still to come
  std::unordered_map<Ticket, Message> open_;
  Ticket last_ticket_ = 0;
  Waiting<Ticket> expected_, unwanted_;  // receives that no send, sends that no receive is known of
  Waiting<Index> wanted_;                // receives of other ranks that no send was posted for: their lengths
  std::deque<Sendable> sendable_;        // sends with a receive
  std::deque<Arrival> arrivals_;         // groups that their senders have started
  bool abandoning_ = false;
};

}  // namespace riverrun::transport
