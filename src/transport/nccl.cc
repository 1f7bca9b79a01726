// The beginning and the end of ranks that NCCL connects.
#include <future>
#include <thread>

#include "core/buffer.h"
#include "core/error.h"
#include "core/log.h"
#include "transport/nccl_check.h"
#include "transport/nccl_transport.h"

namespace riverrun::transport {

namespace {
constexpr std::chrono::seconds kAbortTime{2};
}

std::string Nccl::start() {
  const std::string obstacle = find_nccl_obstacle(*this, device_, timeout());
  if (!obstacle.empty() || size() == 1) return obstacle;
  const int before = (rank() + size() - 1) % size(), after = (rank() + 1) % size();
  // NCCL connects with the first message: one now, that the ring need not wait for it.
  const Array<Index> sent(1, device_, Memory::shared), received(1, device_, Memory::shared);
  sent[0] = rank(), received[0] = -1;
  const Ticket receive = post_receive(before, 0, std::as_writable_bytes(received.span()));
  const Ticket send = post_send(after, 0, std::as_bytes(sent.span()));
  for (const Ticket ticket : {receive, send}) {
    wait_until(*this, [&] { return done(ticket); }, timeout(), [] { return "NCCL to connect the ranks (NCCL_DEBUG=INFO says more)"; });
  }
  RR_CHECK(received[0] == before, "NCCL brought ", received[0], " where rank ", before, " sent its number");
  note_step();
  return "";
}

void Nccl::disconnect() {
  const auto until = [this](const char* what, const auto& finished) {
    wait_until(*this, finished, timeout(), [&] { return std::string(what); });
  };
  const auto each = [this](const auto& call) {
    for (auto& [peer, pair] : sending_) call(pair);
    for (auto& [peer, pair] : receiving_) call(pair);
  };
  until("NCCL to come to rest", [this] { return settled() && notes_.all_received(); });
  each([](NcclPair& pair) { pair.begin_disconnect(); });
  until("NCCL to disconnect the ranks", [this] { return settled(); });
  each([](NcclPair& pair) { pair.destroy(); });
  sending_.clear(), receiving_.clear();
}

// The GPU would wait for ever for what does not come. NCCL may hang here, too, and the other ranks must be told all the same.
void Nccl::disconnect_at_once() noexcept {
  try {
    std::vector<ncclComm_t> comms;
    for (const auto* pairs : {&sending_, &receiving_})
      for (const auto& [peer, pair] : *pairs) comms.push_back(pair.comm());
    std::promise<void> aborted;
    const auto end = aborted.get_future();
    std::thread([comms = std::move(comms), aborted = std::move(aborted)]() mutable {
      for (const ncclComm_t comm : comms) (void)nccl().abort(comm);  // the process ends in any case
      aborted.set_value();
    }).detach();
    (void)end.wait_for(kAbortTime);
  } catch (const std::exception& error) {
    log_error("cannot end NCCL's communicators: ", error.what());
  }
}

int run_nccl(const Options& options, const Body& body) {
  RR_CHECK_INPUT(options.device->kind() == DeviceKind::cuda,
                 "--transport nccl carries messages between GPUs, and this job runs on the CPU; say --backend cuda, or --transport mpi");
  (void)nccl();  // if it is not there, now is the time to say so
  start_mpi(options);
  Nccl transport(options);
  return run_process(transport, [&](Transport&) {
    const std::string obstacle = transport.start();
    if (obstacle.empty()) return body(transport);
    if (transport.rank() == 0) log_error(obstacle);
    return static_cast<int>(ExitCode::bad_input);
  });
}

}  // namespace riverrun::transport
