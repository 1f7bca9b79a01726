// Notes: small messages by which ranks arrange how others travel, over a communicator of their own; in order between two ranks.
#pragma once

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "transport/mpi_pieces.h"

namespace riverrun::transport {

class MpiNotes {
 public:
  using Bytes = std::vector<std::byte>;

  MpiNotes();

  // Leaves with the next flush(), together with others to the same rank. `note` is copied.
  void post(int peer, std::span<const std::byte> note);
  void flush();
  // What has come: the rank it is from, and notes of it one after the other.
  std::optional<std::pair<int, Bytes>> take();

  // Whether every note posted here has begun to be received.
  bool all_received();
  // Whether take() has given everything that has begun to be received.
  bool all_taken() const { return incoming_.empty(); }

 private:
  struct Message {
    int peer;
    Bytes bytes;
    MPI_Request request;
  };

  const MPI_Comm comm_;
  std::vector<Bytes> posted_;     // by rank: not sent
  std::deque<Message> outgoing_, incoming_;
};

}  // namespace riverrun::transport
