// Transport: how bytes travel between ranks. Ranks are MPI processes, or threads of one process, or just one.
//
// All calls of one Transport come from the one thread that runs its rank: that thread also drives progress, by
// polling done() or progress() between kernels (Open MPI moves nothing between calls). Nothing here ever blocks
// without a deadline. Messages between two ranks with the same tag arrive in the order they were posted.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/stop.h"
#include "core/types.h"

namespace riverrun::transport {

using Clock = std::chrono::steady_clock;

// Names a posted receive or send until done() has said true once, which every ticket must before the rank's body
// returns. 0 is no ticket.
using Ticket = std::int64_t;

// How the ranks are, as far as this one has heard.
struct Health {
  int quietest = -1;             // the other rank not heard from for longest; -1: there is none
  Clock::duration silence{};     // for how long
  Clock::duration standstill{};  // since any rank, this one included, got something done
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual const char* name() const = 0;

  // Tags are in [0, most_tag()].
  virtual Index most_tag() const = 0;

  // Both return at once. The bytes stay the caller's and must not be touched until the ticket is done. A message
  // longer or shorter than the receive it meets throws from the receiver's done(). `peer` is another rank. A send
  // may need a call of done() or progress() on its own rank, after the receive was posted, to get through.
  virtual Ticket post_receive(int peer, Index tag, std::span<std::byte> bytes) = 0;
  virtual Ticket post_send(int peer, Index tag, std::span<const std::byte> bytes) = 0;

  // Whether it is through; never blocks; throws what another rank's abort() said. True once, then the ticket is gone.
  virtual bool done(Ticket ticket) = 0;
  // Lets messages move, tells the others that this rank lives, and throws what another rank's abort() said. To be
  // called between kernels: a rank that does not call for as long as the others' timeout is taken for dead.
  virtual void progress() = 0;

  // This rank got something done: a kernel, a document read. Not to be called while waiting.
  void note_step() { ++steps_; }
  virtual Health health() = 0;

  // Whether the job is to stop: a signal came here (core/stop.h), or to another rank that has said so since.
  bool stopping() const { return told_to_stop_ || stop_requested(); }
  // Gives up all messages of all ranks that are still under way, and their tickets; results are not among them. All ranks
  // call it, and none posts a message before all have returned from it. Buffers must live until then.
  virtual void abandon(Clock::duration timeout) = 0;

  // Results, from any rank to rank 0: in order from one rank, in no promised order between ranks. post_result copies
  // nothing: it takes the bytes, at least one. Rank 0 takes what has come with take_result (empty vector: nothing
  // now), its own results included. A result that rank 0 never takes is an error at the end of run_ranks.
  virtual void post_result(std::vector<std::byte> bytes) = 0;
  virtual std::vector<std::byte> take_result() = 0;
  // Bytes this rank posted that rank 0 has not begun to take: a rank that computes faster than rank 0 writes must
  // wait for it.
  virtual Index results_in_flight() = 0;

  // Collectives for set-up and the end, each with a deadline; `what` names the step in the error. All ranks call
  // them in the same order. Clock::duration::max() is no deadline.
  virtual void barrier(const std::string& what, Clock::duration timeout) = 0;
  // From rank 0. Calls `idle`, if not empty, between polls.
  virtual void broadcast(std::vector<std::byte>& bytes, const std::string& what, Clock::duration timeout,
                         const std::function<void()>& idle = {}) = 0;
  // Rank 0 gets one vector per rank, others none.
  virtual std::vector<std::vector<std::byte>> gather(std::vector<std::byte> bytes, const std::string& what,
                                                     Clock::duration timeout) = 0;

  // Ends all ranks promptly with this rank's message: threads throw it from their next call, MPI processes exit
  // with `exit_code`. May not return.
  virtual void abort(const std::string& message, int exit_code) noexcept = 0;

 protected:
  Index steps_ = 0;
  bool told_to_stop_ = false;
};

// Polls `finished` until it is true, driving progress, with a back-off from spinning to 200 us sleeps. Calls
// `idle` (may be empty) between polls: rank 0 writes results there.
//
// Throws Error when it has waited for `timeout` and there is no hope left: some rank has been silent that long, or no
// rank has got anything done that long. So a deadline never hits a rank that waits for slow but living ones. The
// error says what() this rank waited for, and which rank is silent.
void wait_until(Transport& transport, const std::function<bool()>& finished, Clock::duration timeout,
                const std::function<std::string()>& what, const std::function<void()>& idle = {});

struct Options {
  int ranks = 1;                  // threads transport: how many
  bool synchronous_sends = false; // MPI: every send waits for its receive, to prove that nothing relies on buffering
  Index piece_bytes = Index{1} << 30;  // MPI: longer messages travel in pieces, since MPI counts with an int
  Clock::duration timeout = std::chrono::seconds(60);  // MPI: for the end of the job; ranks make themselves heard several times as often
  Device* device = &host_device();  // NCCL: the GPU of this rank, which reaches the memory of all messages
};

// Known names and whether this build has them: "self", "threads", "mpi", "nccl".
struct Entry {
  const char* name;
  bool built;
  const char* how_to_build;
};
std::span<const Entry> known_transports();

// Runs `body` once per rank of the named transport, each on its own thread or process, and returns the greatest
// exit code of all ranks: threads run all ranks here, MPI one. The first exception of a rank aborts the others; with
// threads it is thrown here, with MPI its message is logged and all processes end with its exit code. With MPI the
// call can be made once per process, and nothing that can fail may follow it: mpirun kills the other ranks as soon
// as one ends with an error. Throws InputError for an unknown name, or one that is not in this build.
int run_ranks(const std::string& name, const Options& options, const std::function<int(Transport&)>& body);

// Whether this process was started by mpirun or srun with PMIx: what `--transport auto` asks.
bool started_under_mpi();

}  // namespace riverrun::transport
