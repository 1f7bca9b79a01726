// A job of several processes of which rank 1 goes wrong in the way that the first argument names, while the others
// wait for a message from it.
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "core/error.h"
#include "transport/transport.h"

namespace {
using namespace std::chrono_literals;
using namespace riverrun;
using namespace riverrun::transport;

void wait_for_rank_1(Transport& transport) {
  std::vector<std::byte> bytes(1);
  const Ticket ticket = transport.post_receive(1, 0, bytes);
  wait_until(transport, [&] { return transport.done(ticket); }, 300s, [] { return "rank 1"; });
}

int go_wrong(Transport& transport, const std::string& way) {
  if (way == "input_error") throw InputError("page 7 is missing");
  if (way == "exception") throw std::runtime_error("broken pipe organ");
  if (way == "abort") transport.abort("disk full", 42);
  if (way == "kill") std::raise(SIGKILL);
  std::fprintf(stderr, "unknown way %s\n", way.c_str());
  return 99;
}

int body(Transport& transport, const std::string& way) {
  const bool first = transport.rank() == 1;
  if (way == "code") return first ? 3 : 0;
  if (way == "late") {
    if (first) std::this_thread::sleep_for(60s);
    if (!first) transport.barrier("start of the ring", 100ms);
    return 0;
  }
  if (way == "untaken") {
    if (first) transport.post_result(std::vector<std::byte>(5));
    return 0;
  }
  if (way == "open_send") {
    std::vector<std::byte> bytes(1);
    if (first) transport.post_send(0, 0, bytes);
    return 0;
  }
  if (first) return go_wrong(transport, way);
  wait_for_rank_1(transport);
  return 0;
}

}  // namespace

int main(int, char** argv) {
  return run_ranks("mpi", {}, [&](Transport& transport) { return body(transport, argv[1]); });
}
