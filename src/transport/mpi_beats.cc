#include "transport/mpi_beats.h"

#include <algorithm>

namespace riverrun::transport {

namespace {
using namespace std::chrono_literals;
}

MpiBeats::MpiBeats(Clock::duration timeout)
    : comm_(own_communicator()), interval_(std::clamp<Clock::duration>(timeout / 10, 5ms, 1s)) {
  RR_MPI(MPI_Comm_rank(comm_, &rank_));
  RR_MPI(MPI_Comm_size(comm_, &size_));
  pulse_ = Pulse(size_, rank_);
  requests_.assign(size_, MPI_REQUEST_NULL);
  beats_.assign(size_, {});
}

void MpiBeats::exchange(Index own_steps, bool stop) {
  const auto now = Clock::now();
  pulse_.hear(rank_, own_steps, now);
  take_in(now);
  const bool due = now - sent_ >= interval_;
  if (!due && !stop) return;
  if (due) sent_ = now;
  send({own_steps, stop}, !due);
}

void MpiBeats::take_in(Clock::time_point now) {
  while (true) {
    int flag = 0;
    MPI_Status status;
    RR_MPI(MPI_Iprobe(MPI_ANY_SOURCE, 0, comm_, &flag, &status));
    if (!flag) return;
    Beat beat{};
    RR_MPI(MPI_Recv(&beat, 2, MPI_INT64_T, status.MPI_SOURCE, 0, comm_, MPI_STATUS_IGNORE));  // it is here: no wait
    pulse_.hear(status.MPI_SOURCE, beat.steps, now);
    heard_stop_ = heard_stop_ || beat.stop != 0;
  }
}

bool MpiBeats::close() {
  take_in(Clock::now());
  int flag = 0;
  if (!all_through_) {
    // Sends are synchronous: once mine are through, they have been received; once everyone's are, nothing is left.
    RR_MPI(MPI_Testall(size_, requests_.data(), &flag, MPI_STATUSES_IGNORE));
    if (!flag) return false;
    all_through_ = true;
    RR_MPI(MPI_Ibarrier(comm_, &closing_));
  }
  RR_MPI(MPI_Test(&closing_, &flag, MPI_STATUS_IGNORE));
  return flag != 0;
}

void MpiBeats::send(Beat beat, bool untold_only) {
  static_assert(sizeof(Beat) == 2 * sizeof(Index));
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_ || (untold_only && beats_[peer].stop != 0)) continue;
    int through = 0;
    RR_MPI(MPI_Test(&requests_[peer], &through, MPI_STATUS_IGNORE));  // a null request is through
    if (!through) continue;
    beats_[peer] = beat;
    RR_MPI(MPI_Issend(&beats_[peer], 2, MPI_INT64_T, peer, 0, comm_, &requests_[peer]));
  }
}

}  // namespace riverrun::transport
