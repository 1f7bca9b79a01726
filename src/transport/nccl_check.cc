#include "transport/nccl_check.h"

#include <unistd.h>

#include <array>
#include <sstream>

#include "core/error.h"
#include "transport/nccl_library.h"

namespace riverrun::transport {

namespace {

std::string host_name() {
  std::array<char, 256> name{};
  RR_CHECK(gethostname(name.data(), name.size() - 1) == 0, with_errno("cannot get this host's name"));
  return name.data();
}

struct Rank {
  int version = 0;
  std::string host, bus_id;
};

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}
std::string text_of(const std::vector<std::byte>& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

std::string obstacle_among(const std::vector<Rank>& ranks) {
  for (std::size_t b = 1; b < ranks.size(); ++b) {
    if (ranks[b].version != ranks[0].version) {
      return concat("--transport nccl: rank 0 on ", ranks[0].host, " has NCCL ", nccl_version_text(ranks[0].version), " and rank ", b,
                    " on ", ranks[b].host, " has ", nccl_version_text(ranks[b].version),
                    "; start all of them with the same one, or use --transport mpi");
    }
    for (std::size_t a = 0; a < b; ++a) {
      if (ranks[a].host != ranks[b].host || ranks[a].bus_id != ranks[b].bus_id) continue;
      return concat("--transport nccl: ranks ", a, " and ", b, " are both on the GPU ", ranks[b].bus_id, " of ", ranks[b].host,
                    ", and NCCL connects only ranks with a GPU each; start as many ranks per node as it has GPUs (docs/cluster.md),"
                    " use --transport mpi, or one process with --transport threads");
    }
  }
  return "";
}

}  // namespace

std::string find_nccl_obstacle(Transport& transport, Device& device, Clock::duration timeout) {
  int version = 0;
  check_nccl(nccl().get_version(&version), "ncclGetVersion");
  const std::string what = "every rank to name its GPU";
  std::vector<Rank> ranks;
  for (const auto& bytes : transport.gather(bytes_of(concat(version, "\n", host_name(), "\n", device.bus_id())), what, timeout)) {
    std::istringstream text(text_of(bytes));
    std::string line;
    Rank& rank = ranks.emplace_back();
    RR_CHECK(std::getline(text, line) && std::getline(text, rank.host) && std::getline(text, rank.bus_id), "a rank has no GPU");
    rank.version = std::stoi(line);
  }
  auto obstacle = bytes_of(obstacle_among(ranks));
  transport.broadcast(obstacle, what, timeout);
  return text_of(obstacle);
}

}  // namespace riverrun::transport
