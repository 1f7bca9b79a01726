#include "transport/mpi_notes.h"

namespace riverrun::transport {

MpiNotes::MpiNotes() : comm_(own_communicator()) {
  int size = 0;
  RR_MPI(MPI_Comm_size(comm_, &size));
  posted_.resize(size);
}

void MpiNotes::post(int peer, std::span<const std::byte> note) {
  posted_[peer].insert(posted_[peer].end(), note.begin(), note.end());
}

void MpiNotes::flush() {
  while (!outgoing_.empty() && ended(outgoing_.front().request)) outgoing_.pop_front();
  for (int peer = 0; peer < std::ssize(posted_); ++peer) {
    if (posted_[peer].empty()) continue;
    Message& sent = outgoing_.emplace_back(Message{peer, std::exchange(posted_[peer], {}), MPI_REQUEST_NULL});
    // Synchronous: all_received() has to know.
    RR_MPI(MPI_Issend(sent.bytes.data(), static_cast<int>(sent.bytes.size()), MPI_BYTE, peer, 0, comm_, &sent.request));
  }
}

std::optional<std::pair<int, MpiNotes::Bytes>> MpiNotes::take() {
  int flag = 0, length = 0;
  MPI_Message message;
  MPI_Status status;
  RR_MPI(MPI_Improbe(MPI_ANY_SOURCE, 0, comm_, &flag, &message, &status));
  if (flag) {
    RR_MPI(MPI_Get_count(&status, MPI_BYTE, &length));
    Message& came = incoming_.emplace_back(Message{status.MPI_SOURCE, Bytes(length), MPI_REQUEST_NULL});
    RR_MPI(MPI_Imrecv(came.bytes.data(), length, MPI_BYTE, &message, &came.request));
  }
  // In order of arrival, which keeps those of one rank in order.
  if (incoming_.empty() || !ended(incoming_.front().request)) return {};
  std::pair<int, Bytes> first(incoming_.front().peer, std::move(incoming_.front().bytes));
  incoming_.pop_front();
  return first;
}

bool MpiNotes::all_received() {
  flush();
  return outgoing_.empty();
}

}  // namespace riverrun::transport
