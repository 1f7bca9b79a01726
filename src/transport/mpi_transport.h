// Mpi: ranks as MPI processes; and what a transport rests on that MPI boots, while its messages go another way.
//
// Nothing waits inside MPI: every operation is posted and polled, with a deadline and a back-off, because a blocking call
// burns its core and knows no deadline.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "transport/mpi_beats.h"
#include "transport/mpi_pieces.h"
#include "transport/mpi_results.h"
#include "transport/ranks.h"

namespace riverrun::transport {

class Mpi : public Transport {
 public:
  using Bytes = std::vector<std::byte>;

  explicit Mpi(const Options& options);  // MPI is started

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const char* name() const override { return "mpi"; }
  Index most_tag() const override { return most_tag_; }

  Ticket post_receive(int peer, Index tag, std::span<std::byte> bytes) override;
  Ticket post_send(int peer, Index tag, std::span<const std::byte> bytes) override;
  bool done(Ticket ticket) override;
  void progress() override;
  Health health() override { return beats_.health(); }
  void abandon(Clock::duration timeout) override;

  void post_result(Bytes bytes) override { results_.post(std::move(bytes)); }
  Bytes take_result() override { return results_.take(); }
  Index results_in_flight() override { return results_.in_flight(); }

  void barrier(const std::string& what, Clock::duration timeout) override;
  void broadcast(Bytes& bytes, const std::string& what, Clock::duration timeout, const std::function<void()>& idle) override;
  std::vector<Bytes> gather(Bytes bytes, const std::string& what, Clock::duration timeout) override;

  void abort(const std::string& message, int exit_code) noexcept override;

  // The end of the body on every rank: sees all results through and gives the greatest exit code. Ranks may come
  // here hours apart, as long as those still at work get on.
  int leave(int exit_code);

 protected:
  // For messages that go another way:
  virtual std::size_t open_messages() const { return open_.size(); }  // that done() has not yet said true of
  virtual void disconnect() {}                  // the end of the job, on all ranks at about the same time
  virtual void disconnect_at_once() noexcept {}  // the end of this process

  // Until through() has said true once on every rank. Where it has, it goes on being called.
  void agree(const std::function<bool()>& through, const std::string& what, Clock::duration timeout);
  Clock::duration timeout() const { return timeout_; }

 private:
  bool all_sent();
  void take_strays();
  void finish(MPI_Request& request, const std::string& what, Clock::duration timeout, const std::function<void()>& idle = {});
  void finish(Operation& operation, const std::string& what, Clock::duration timeout);

  const Pieces pieces_;
  const MPI_Comm messages_, control_;
  MpiResults results_;
  MpiBeats beats_;
  const Clock::duration timeout_;
  int rank_ = 0, size_ = 1;
  Index most_tag_ = 0;
  Ticket last_ticket_ = 0;
  bool leaving_ = false;
  std::unordered_map<Ticket, Operation> open_;
  std::vector<std::unique_ptr<std::pair<Bytes, MPI_Request>>> strays_;  // while abandoning
};

// Before the first Mpi of the process.
void start_mpi(const Options& options);
// Runs the body on this rank of `transport`, ends MPI, and gives the greatest exit code of all ranks. What the body throws
// aborts all of them.
int run_process(Mpi& transport, const Body& body);

}  // namespace riverrun::transport
