// Beats: small messages by which MPI ranks tell each other that they live, over a communicator of their own.
#pragma once

#include <vector>

#include "transport/mpi_pieces.h"
#include "transport/pulse.h"

namespace riverrun::transport {

class MpiBeats {
 public:
  explicit MpiBeats(Clock::duration timeout);

  // Takes in what has come and, when it is time, tells the others; at once where they have not yet been told to stop. Cheap
  // enough for every poll.
  void exchange(Index own_steps, bool stop);
  // Whether another rank has said that the job is to stop.
  bool heard_stop() const { return heard_stop_; }
  // The end, on every rank: no more is sent, and what is under way is taken in, so that MPI ends with nothing open.
  // True when that is so everywhere; to be called until then.
  bool close();
  Health health() const { return pulse_.health(Clock::now()); }

 private:
  struct Beat {
    Index steps, stop;
  };
  void send(Beat beat, bool untold_only);
  void take_in(Clock::time_point now);

  const MPI_Comm comm_;
  const Clock::duration interval_;
  int rank_ = 0, size_ = 1;
  Pulse pulse_{1, 0};
  Clock::time_point sent_{};
  MPI_Request closing_ = MPI_REQUEST_NULL;
  bool all_through_ = false;
  std::vector<MPI_Request> requests_;  // one beat per rank under way at most: who does not take it gets no second
  std::vector<Beat> beats_;            // what each of them says
  bool heard_stop_ = false;
};

}  // namespace riverrun::transport
