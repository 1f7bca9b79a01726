#include "transport/mpi_transport.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "core/error.h"
#include "core/log.h"

namespace riverrun::transport {

Mpi::Mpi(const Options& options)
    : pieces_{options.piece_bytes, options.synchronous_sends}, messages_(own_communicator()), control_(own_communicator()),
      results_(options.piece_bytes), beats_(options.timeout), timeout_(options.timeout) {
  RR_MPI(MPI_Comm_rank(messages_, &rank_));
  RR_MPI(MPI_Comm_size(messages_, &size_));
  int* most_tag = nullptr;
  int known = 0;
  RR_MPI(MPI_Comm_get_attr(messages_, MPI_TAG_UB, &most_tag, &known));
  RR_CHECK(known, "MPI does not say what its greatest tag is");
  most_tag_ = *most_tag;
}

Ticket Mpi::post_receive(int peer, Index tag, std::span<std::byte> bytes) {
  check_address(*this, peer, tag);
  open_.emplace(++last_ticket_, pieces_.receive(messages_, peer, tag, bytes));
  return last_ticket_;
}

Ticket Mpi::post_send(int peer, Index tag, std::span<const std::byte> bytes) {
  check_address(*this, peer, tag);
  open_.emplace(++last_ticket_, pieces_.send(messages_, peer, tag, bytes));
  return last_ticket_;
}

bool Mpi::done(Ticket ticket) {
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
void Mpi::progress() {
  int flag = 0;
  RR_MPI(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, messages_, &flag, MPI_STATUS_IGNORE));
  results_.in_flight();
  if (leaving_) return;
  beats_.exchange(steps_, stopping());
  told_to_stop_ = told_to_stop_ || beats_.heard_stop();
}

void Mpi::abort(const std::string& message, int exit_code) noexcept {
  log_error("rank ", rank_, " failed: ", message);
  disconnect_at_once();
  MPI_Abort(MPI_COMM_WORLD, failing_code(exit_code));
  std::_Exit(failing_code(exit_code));  // should MPI return
}

void Mpi::finish(MPI_Request& request, const std::string& what, Clock::duration timeout, const std::function<void()>& idle) {
  wait_until(*this, [&] { return ended(request); }, timeout, [&] { return "the other ranks: " + what; }, idle);
}

void Mpi::finish(Operation& operation, const std::string& what, Clock::duration timeout) {
  wait_until(*this, [&] { return test(control_, operation); }, timeout, [&] { return "the other ranks: " + what; });
}

void Mpi::barrier(const std::string& what, Clock::duration timeout) {
  MPI_Request request;
  RR_MPI(MPI_Ibarrier(control_, &request));
  finish(request, what, timeout);
}

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

// (As in Hoefler, Siebert, Lumsdaine, Scalable Communication Protocols for Dynamic Sparse Data Exchange, PPoPP 2010.)
void Mpi::agree(const std::function<bool()>& through, const std::string& what, Clock::duration timeout) {
  MPI_Request all_through = MPI_REQUEST_NULL;
  bool mine = false;
  wait_until(*this, [&] {
    if (through() && !mine) {
      mine = true;
      RR_MPI(MPI_Ibarrier(control_, &all_through));
    }
    return mine && ended(all_through);
  }, timeout, [&] { return "the other ranks: " + what; });
}

// Every send that waits for its receive finds one, a stray one if need be (a short one, which MPI buffers, may end without);
// once that is so everywhere, receives that have found nothing never will, and are cancelled.
void Mpi::abandon(Clock::duration timeout) {
  agree([this] {
    take_strays();
    return all_sent();
  }, "giving up what is under way", timeout);
  wait_until(*this, [this] {
    take_strays();
    return strays_.empty();
  }, timeout, [] { return std::string("MPI to bring what was given up"); });
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

std::vector<Mpi::Bytes> Mpi::gather(Bytes bytes, const std::string& what, Clock::duration timeout) {
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
  RR_CHECK(open_messages() == 0, "rank ", rank_, " ended with ", open_messages(), " messages not seen through");
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
  disconnect();
  leaving_ = true;
  wait_until(*this, [this] { return beats_.close(); }, timeout_, [] { return "the other ranks to leave"; });
  return greatest;
}

void start_mpi(const Options& options) {
  RR_CHECK_INPUT(options.piece_bytes >= 1 && options.piece_bytes <= std::numeric_limits<int>::max(), "a piece of ",
                 options.piece_bytes, " bytes is not a length that MPI can count");
  int provided = 0;
  RR_MPI(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided));
  RR_CHECK(provided >= MPI_THREAD_FUNNELED, "this MPI cannot be used by a program with threads");
  RR_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
}

int run_process(Mpi& transport, const Body& body) {
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

int run_mpi(const Options& options, const Body& body) {
  start_mpi(options);
  Mpi transport(options);
  return run_process(transport, body);
}

}  // namespace riverrun::transport
