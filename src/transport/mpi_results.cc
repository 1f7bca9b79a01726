#include "transport/mpi_results.h"

#include <utility>

#include "core/error.h"

namespace riverrun::transport {

namespace {
constexpr int kLastPiece = 0, kPiece = 1;       // tags
constexpr std::size_t kMostIncoming = 16;       // pieces that rank 0 receives at a time; the rest waits at its sender
}  // namespace

MpiResults::MpiResults(Index piece_bytes) : pieces_{piece_bytes}, comm_(own_communicator()) {
  int size = 0;
  RR_MPI(MPI_Comm_rank(comm_, &rank_));
  RR_MPI(MPI_Comm_size(comm_, &size));
  half_read_.resize(size);
}

void MpiResults::post(Bytes bytes) {
  RR_CHECK(!bytes.empty(), "a result has at least one byte");
  in_flight_ += std::ssize(bytes);
  if (rank_ == 0) {
    own_.push_back(std::move(bytes));
    return;
  }
  Outgoing& sent = outgoing_.emplace_back();
  sent.bytes = std::move(bytes);
  pieces_.for_each(std::ssize(sent.bytes), [&](Index offset, int length) {
    const int tag = offset + length == std::ssize(sent.bytes) ? kLastPiece : kPiece;
    // Synchronous, so that it counts as in flight until rank 0 takes it off.
    RR_MPI(MPI_Issend(sent.bytes.data() + offset, length, MPI_BYTE, 0, tag, comm_,
                      &sent.operation.requests.emplace_back()));
  });
}

Index MpiResults::in_flight() {
  while (!outgoing_.empty() && test(comm_, outgoing_.front().operation)) {
    in_flight_ -= std::ssize(outgoing_.front().bytes);
    outgoing_.pop_front();
  }
  return in_flight_;
}

void MpiResults::accept() {
  while (incoming_.size() < kMostIncoming) {
    int flag = 0, length = 0;
    MPI_Message message;
    MPI_Status status;
    RR_MPI(MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm_, &flag, &message, &status));
    if (!flag) return;
    RR_MPI(MPI_Get_count(&status, MPI_BYTE, &length));
    Incoming& piece = incoming_.emplace_back();
    piece.source = status.MPI_SOURCE;
    piece.last = status.MPI_TAG == kLastPiece;
    piece.bytes.resize(length);
    RR_MPI(MPI_Imrecv(piece.bytes.data(), length, MPI_BYTE, &message, &piece.request));
  }
}

MpiResults::Bytes MpiResults::take() {
  RR_CHECK(rank_ == 0, "rank ", rank_, " takes results, which is for rank 0");
  accept();
  // In order of arrival, which keeps the pieces of one sender in order.
  while (!incoming_.empty()) {
    Incoming& piece = incoming_.front();
    int flag = 0;
    RR_MPI(MPI_Test(&piece.request, &flag, MPI_STATUS_IGNORE));
    if (!flag) break;
    Bytes& so_far = half_read_[piece.source];
    if (so_far.empty()) {
      so_far = std::move(piece.bytes);
    } else {
      so_far.insert(so_far.end(), piece.bytes.begin(), piece.bytes.end());
    }
    const bool last = piece.last;
    incoming_.pop_front();
    if (last) return std::exchange(so_far, {});
  }
  if (own_.empty()) return {};
  Bytes bytes = std::move(own_.front());
  own_.pop_front();
  in_flight_ -= std::ssize(bytes);
  return bytes;
}

}  // namespace riverrun::transport
