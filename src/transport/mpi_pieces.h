// MPI calls that answer with an Error, and messages of any length as pieces that MPI can count.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <span>
#include <vector>

#include "core/types.h"

namespace riverrun::transport {

// Throws an Error with MPI's own words unless `result` is MPI_SUCCESS.
void check_mpi(int result, const char* call);
#define RR_MPI(call) check_mpi((call), #call)

// A communicator of our own, so that neither errors nor messages mix with anybody else's.
MPI_Comm own_communicator();

// Whether it is through; it is null then.
bool ended(MPI_Request& request);

// A posted send or receive: one request per piece.
struct Operation {
  std::vector<MPI_Request> requests;
  std::vector<int> lengths;  // of a receive's pieces
  std::size_t next = 0;      // pieces before are through
  int peer = 0;
  Index tag = 0;
  bool is_receive = false;
};

// How messages are cut and sent; the same on all ranks.
struct Pieces {
  Index most_bytes;
  bool synchronous = false;

  // Calls piece(offset, length) for each part of `bytes`; once for an empty message.
  template <class Piece>
  void for_each(Index bytes, Piece piece) const {
    Index offset = 0;
    do {
      const Index length = std::min(most_bytes, bytes - offset);
      piece(offset, static_cast<int>(length));
      offset += length;
    } while (offset < bytes);
  }

  Operation send(MPI_Comm comm, int peer, Index tag, std::span<const std::byte> bytes) const;
  Operation receive(MPI_Comm comm, int peer, Index tag, std::span<std::byte> bytes) const;
};

// Whether it is through; throws when a receive got another length than it asked for.
bool test(MPI_Comm comm, Operation& operation);

}  // namespace riverrun::transport
