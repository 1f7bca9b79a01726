// Ranks as MPI processes. Nothing waits inside MPI: every operation is posted and polled, with a deadline and a
// back-off, because a blocking call burns its core and knows no deadline.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "transport/mpi_beats.h"
#include "transport/mpi_pieces.h"
#include "transport/mpi_results.h"
#include "transport/ranks.h"

namespace riverrun::transport {

namespace {

using Bytes = std::vector<std::byte>;

class Mpi : public Transport {
 public:
  explicit Mpi(const Options& options)
      : pieces_{options.piece_bytes, options.synchronous_sends}, messages_(own_communicator()),
        control_(own_communicator()), results_(options.piece_bytes), beats_(options.timeout), timeout_(options.timeout) {
    RR_MPI(MPI_Comm_rank(messages_, &rank_));
    RR_MPI(MPI_Comm_size(messages_, &size_));
    int* most_tag = nullptr;
    int known = 0;
    RR_MPI(MPI_Comm_get_attr(messages_, MPI_TAG_UB, &most_tag, &known));
    RR_CHECK(known, "MPI does not say what its greatest tag is");
    most_tag_ = *most_tag;
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const char* name() const override { return "mpi"; }
  Index most_tag() const override { return most_tag_; }

  Ticket post_receive(int peer, Index tag, std::span<std::byte> bytes) override {
    check_address(*this, peer, tag);
    open_.emplace(++last_ticket_, pieces_.receive(messages_, peer, tag, bytes));
    return last_ticket_;
  }

  Ticket post_send(int peer, Index tag, std::span<const std::byte> bytes) override {
    check_address(*this, peer, tag);
    open_.emplace(++last_ticket_, pieces_.send(messages_, peer, tag, bytes));
    return last_ticket_;
  }

  bool done(Ticket ticket) override {
    const auto at = open_.find(ticket);
    RR_CHECK(at != open_.end(), "ticket ", ticket, " is not open");
    try {
      if (!test(messages_, at->second)) return false;
    } catch (...) {
      open_.erase(at);
      throw;
    }
    open_.erase(at);
    return true;
  }

  // Any call into MPI moves all messages on; a probe is one that does nothing else.
  void progress() override {
    int flag = 0;
    RR_MPI(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, messages_, &flag, MPI_STATUS_IGNORE));
    results_.in_flight();
    if (leaving_) return;
    beats_.exchange(steps_, stopping());
    told_to_stop_ = told_to_stop_ || beats_.heard_stop();
  }
  Health health() override { return beats_.health(); }
  void abandon(Clock::duration timeout) override;

  void post_result(Bytes bytes) override { results_.post(std::move(bytes)); }
  Bytes take_result() override { return results_.take(); }
  Index results_in_flight() override { return results_.in_flight(); }

  void barrier(const std::string& what, Clock::duration timeout) override {
    MPI_Request request;
    RR_MPI(MPI_Ibarrier(control_, &request));
    finish(request, what, timeout);
  }
  void broadcast(Bytes& bytes, const std::string& what, Clock::duration timeout, const std::function<void()>& idle) override;
  std::vector<Bytes> gather(Bytes bytes, const std::string& what, Clock::duration timeout) override;

  void abort(const std::string& message, int exit_code) noexcept override {
    log_error("rank ", rank_, " failed: ", message);
    MPI_Abort(MPI_COMM_WORLD, failing_code(exit_code));
    std::_Exit(failing_code(exit_code));  // should MPI return
  }

  // The end of the body on every rank: sees all results through and gives the greatest exit code. Ranks may come
  // here hours apart, as long as those still at work get on.
  int leave(int exit_code);

 private:
  static bool ended(MPI_Request& request) {
    int flag = 0;
    RR_MPI(MPI_Test(&request, &flag, MPI_STATUS_IGNORE));
    return flag != 0;
  }
  bool all_sent();
  void take_strays();
  void finish(MPI_Request& request, const std::string& what, Clock::duration timeout, const std::function<void()>& idle = {}) {
    wait_until(*this, [&] { return ended(request); }, timeout, [&] { return "the other ranks: " + what; }, idle);
  }
  void finish(Operation& operation, const std::string& what, Clock::duration timeout) {
    wait_until(*this, [&] { return test(control_, operation); }, timeout, [&] { return "the other ranks: " + what; });
  }

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

bool Mpi::all_sent() {
  return std::all_of(open_.begin(), open_.end(), [&](auto& entry) { return entry.second.is_receive || test(messages_, entry.second); });
}

// Receives what nobody has asked for, so that its sender can let go of it.
void Mpi::take_strays() {
  int flag = 0, length = 0;
  MPI_Message message;
  MPI_Status status;
  RR_MPI(MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, messages_, &flag, &message, &status));
  if (flag) {
    RR_MPI(MPI_Get_count(&status, MPI_BYTE, &length));
    auto& [bytes, request] = *strays_.emplace_back(std::make_unique<std::pair<Bytes, MPI_Request>>(Bytes(length), MPI_REQUEST_NULL));
    RR_MPI(MPI_Imrecv(bytes.data(), length, MPI_BYTE, &message, &request));
  }
  std::erase_if(strays_, [](auto& stray) { return ended(stray->second); });
}

// Every send that waits for its receive finds one, a stray one if need be (a short one, which MPI buffers, may end without);
// once that is so everywhere, receives that have found nothing never will, and are cancelled. (The end of the sends is agreed
// on as in Hoefler, Siebert, Lumsdaine, Scalable Communication Protocols for Dynamic Sparse Data Exchange, PPoPP 2010.)
void Mpi::abandon(Clock::duration timeout) {
  MPI_Request all_through = MPI_REQUEST_NULL;
  bool through = false;
  wait_until(*this, [&] {
    take_strays();
    if (!through && all_sent()) {
      through = true;
      RR_MPI(MPI_Ibarrier(control_, &all_through));
    }
    return through && ended(all_through) && strays_.empty();
  }, timeout, [] { return std::string("the other ranks: giving up what is under way"); });
  for (auto& [ticket, operation] : open_) {
    if (!operation.is_receive) continue;
    for (std::size_t piece = operation.next; piece < operation.requests.size(); ++piece) {
      MPI_Request& request = operation.requests[piece];
      if (request != MPI_REQUEST_NULL) RR_MPI(MPI_Cancel(&request));
      wait_until(*this, [&] { return ended(request); }, timeout, [] { return std::string("MPI to cancel a receive"); });
    }
  }
  open_.clear();
}

void Mpi::broadcast(Bytes& bytes, const std::string& what, Clock::duration timeout, const std::function<void()>& idle) {
  MPI_Request request;
  Index size = std::ssize(bytes);
  RR_MPI(MPI_Ibcast(&size, 1, MPI_INT64_T, 0, control_, &request));
  finish(request, what, timeout, idle);
  bytes.resize(size);
  pieces_.for_each(size, [&](Index offset, int length) {
    RR_MPI(MPI_Ibcast(bytes.data() + offset, length, MPI_BYTE, 0, control_, &request));
    finish(request, what, timeout);
  });
}

std::vector<Bytes> Mpi::gather(Bytes bytes, const std::string& what, Clock::duration timeout) {
  const bool root = rank_ == 0;
  MPI_Request request;
  const Index size = std::ssize(bytes);
  std::vector<Index> sizes(root ? size_ : 0);
  RR_MPI(MPI_Igather(&size, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, 0, control_, &request));
  finish(request, what, timeout);
  if (!root) {
    Operation sent = pieces_.send(control_, 0, 0, bytes);
    finish(sent, what, timeout);
    return {};
  }
  std::vector<Bytes> all(size_);
  std::vector<Operation> received;
  all[0] = std::move(bytes);
  for (int rank = 1; rank < size_; ++rank) {
    all[rank].resize(sizes[rank]);
    received.push_back(pieces_.receive(control_, rank, 0, all[rank]));
  }
  for (Operation& operation : received) finish(operation, what, timeout);
  return all;
}

int Mpi::leave(int exit_code) {
  RR_CHECK(open_.empty(), "rank ", rank_, " ended with ", open_.size(), " messages not seen through");
  if (rank_ != 0) {
    wait_until(*this, [this] { return results_in_flight() == 0; }, timeout_, [] { return "rank 0 to take results"; });
  }
  int greatest = 0;
  MPI_Request request;
  RR_MPI(MPI_Iallreduce(&exit_code, &greatest, 1, MPI_INT, MPI_MAX, control_, &request));
  const auto all_here = [&] {
    RR_CHECK(rank_ != 0 || take_result().empty(), "rank 0 ended before it took all results");
    return ended(request);
  };
  wait_until(*this, all_here, timeout_, [] { return "the end of the other ranks"; });
  leaving_ = true;
  wait_until(*this, [this] { return beats_.close(); }, timeout_, [] { return "the other ranks to leave"; });
  return greatest;
}

}  // namespace

int run_mpi(const Options& options, const Body& body) {
  RR_CHECK_INPUT(options.piece_bytes >= 1 && options.piece_bytes <= std::numeric_limits<int>::max(), "a piece of ",
                 options.piece_bytes, " bytes is not a length that MPI can count");
  int provided = 0;
  RR_MPI(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided));
  RR_CHECK(provided >= MPI_THREAD_FUNNELED, "this MPI cannot be used by a program with threads");
  RR_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  Mpi transport(options);
  set_log_rank(transport.rank(), transport.size());
  int exit_code = 0;
  // An exception may not leave: others wait for this rank, and only an abort tells them.
  try {
    exit_code = transport.leave(body(transport));
  } catch (const Error& error) {
    transport.abort(error.what(), static_cast<int>(error.code()));
  } catch (const std::exception& error) {
    transport.abort(error.what(), 1);
  } catch (...) {
    transport.abort("unknown exception", 1);
  }
  RR_MPI(MPI_Finalize());
  return exit_code;
}

}  // namespace riverrun::transport
