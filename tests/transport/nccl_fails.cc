// A job of several processes with an emulated NCCL, of which rank 1 goes wrong in the way that the first argument names, while
// messages go round.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>

#include "core/error.h"
#include "tests/support/nccl_emulator/emulator.h"
#include "transport/ranks.h"

namespace {
using namespace std::chrono_literals;
using namespace riverrun;
using namespace riverrun::transport;

constexpr auto kTimeout = 300s;
constexpr std::size_t kBytes = 4 << 20;  // so that one can be caught on its way

void go_round(Transport& transport, int rounds) {
  const int ranks = transport.size(), after = (transport.rank() + 1) % ranks, before = (transport.rank() + ranks - 1) % ranks;
  std::vector<std::byte> in(kBytes), out(kBytes);
  for (int round = 0; round < rounds; ++round) {
    const Ticket receive = transport.post_receive(before, 0, in), send = transport.post_send(after, 0, out);
    for (const Ticket ticket : {receive, send}) {
      wait_until(transport, [&] { return transport.done(ticket); }, kTimeout, [] { return "a message"; });
    }
    transport.note_step();
  }
}

int body(Transport& transport, const std::string& way) {
  if (transport.rank() == 1) {
    if (way == "input_error" || way == "kill") go_round(transport, 20);
    const std::vector<std::byte> last(kBytes);
    if (way == "input_error") {
      nccl_emulator::set_abort_time(300);
      transport.post_send(2, 0, last);  // rank 2 is at work on it
      const auto until = Clock::now() + 1ms;
      while (Clock::now() < until) transport.progress();
      throw InputError("page 7 is missing");
    }
    if (way == "kill") std::raise(SIGKILL);
    if (way == "nccl_error") nccl_emulator::fail_after(10);
    if (way == "silent") std::this_thread::sleep_for(60s);
  }
  std::vector<std::byte> bytes(1);
  if (way == "open_send") {
    if (transport.rank() == 1) transport.post_send(0, 0, bytes);
    return 0;
  }
  if (way == "silent") {
    const Ticket ticket = transport.post_receive(1, 0, bytes);
    wait_until(transport, [&] { return transport.done(ticket); }, 2s, [] { return "a message of a rank that sleeps"; });
  }
  go_round(transport, std::numeric_limits<int>::max());
  return 0;
}

}  // namespace

int main(int, char** argv) {
  const std::string way = argv[1];
  Options options;
  options.device = way == "cpu" ? &host_device() : &nccl_emulator::gpu();
  if (way == "same_gpu" && std::atoi(std::getenv("OMPI_COMM_WORLD_RANK")) > 0) nccl_emulator::set_bus_id("0000:17:00.0");
  if (way == "silent") options.timeout = 5s;
  try {
    return run_nccl(options, [&](Transport& transport) { return body(transport, way); });
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
}
