// Results on their way to rank 0, over a communicator of their own.
#pragma once

#include <deque>
#include <vector>

#include "transport/mpi_pieces.h"

namespace riverrun::transport {

class MpiResults {
 public:
  using Bytes = std::vector<std::byte>;

  explicit MpiResults(Index piece_bytes);

  void post(Bytes bytes);
  Bytes take();      // rank 0; empty: nothing now
  Index in_flight(); // lets go of what rank 0 has taken off

 private:
  struct Outgoing {
    Bytes bytes;
    Operation operation;
  };
  struct Incoming {
    int source;
    bool last;  // the result ends with this piece
    Bytes bytes;
    MPI_Request request;
  };
  void accept();

  const Pieces pieces_;
  MPI_Comm comm_;
  int rank_ = 0;
  std::deque<Outgoing> outgoing_;
  Index in_flight_ = 0;
  // Rank 0:
  std::deque<Bytes> own_;
  std::deque<Incoming> incoming_;
  std::vector<Bytes> half_read_;  // per rank: the pieces so far
};

}  // namespace riverrun::transport
