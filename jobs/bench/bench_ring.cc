// riverrun bench ring: one document over several ranks, beside one rank alone and beside the forecast.

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "jobs/bench/bench.h"
#include "jobs/run/machine.h"
#include "plan/forecast.h"
#include "ring/ring.h"

namespace riverrun::jobs {

namespace {

using transport::Clock;
using transport::Transport;

constexpr auto kTimeout = std::chrono::seconds(60);
constexpr int kPings = 200;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void wait_for(Transport& transport, transport::Ticket ticket, const char* what) {
  transport::wait_until(transport, [&] { return transport.done(ticket); }, kTimeout, [&] { return std::string(what); });
}

// Seconds that one layer's state takes from rank to rank: half a round trip between ranks 0 and 1. Elsewhere 0.
double measure_hop(Transport& transport, Index bytes, Device& device) {
  if (transport.rank() > 1 || transport.size() == 1) return 0;
  const int peer = 1 - transport.rank();
  const Array<std::byte> out(bytes, device, Memory::shared), in(bytes, device, Memory::shared);  // as carries are
  double best = 1e9;
  for (int ping = 0; ping < kPings; ++ping) {
    const auto begin = Clock::now();
    const auto receive = transport.post_receive(peer, 0, in.span());
    if (transport.rank() == 1) wait_for(transport, receive, "a ping");
    const auto send = transport.post_send(peer, 0, out.span());
    wait_for(transport, send, "a ping to be taken");
    if (transport.rank() == 0) wait_for(transport, receive, "a ping's answer");
    transport.note_step();
    best = std::min(best, seconds_since(begin) / 2);
  }
  return best;
}

// What rank 0 alone makes of the document, told to the others as it goes.
double run_alone(const BenchModel& bench, Transport& transport, std::span<const TokenId> ids, Index B, Stream stream) {
  const auto workspace = bench.model->make_workspace(B, stream);
  model::State state = bench.model->make_state();
  const auto begin = Clock::now();
  for (std::size_t first = 0; first < ids.size(); first += static_cast<std::size_t>(B)) {
    run_blocks(*bench.model, *workspace, stream, ids.subspan(first, std::min<std::size_t>(B, ids.size() - first)), B, state);
    transport.note_step();
    transport.progress();
  }
  return seconds_since(begin);
}

// One rank's part of all that is measured. Every rank makes the same plan of the same document.
class RingBench {
 public:
  RingBench(const BenchModel& bench, const BenchOptions& options, Transport& transport)
      : bench_(bench), options_(options), transport_(transport), pool_(static_cast<int>(options.threads)),
        stream_(*bench.kernels.device, pool_), ids_(made_up_tokens(options.tokens, bench.model->config().vocab)),
        plan_(plan::make_plan({options.tokens}, plan_options(transport.size(), options.block_tokens, *bench.model, false))) {}

  BenchRows run() {
    const model::StateShape& state = bench_.model->state_shape();
    const double hop = measure_hop(transport_, state.layer_floats() * Index{sizeof(float)}, *bench_.kernels.device);
    double alone = 1e9;
    if (transport_.rank() == 0) {
      for (Index round = 0; round < options_.rounds; ++round) alone = std::min(alone, run_alone(bench_, transport_, ids_, options_.block_tokens, stream_));
    }
    double together = 1e9;
    std::vector<ring::Statistics> best;
    for (Index round = 0; round < options_.rounds; ++round) {
      transport_.barrier("every rank to be ready", kTimeout);
      const auto found = gather(run_ring());
      double longest = 0;
      for (const auto& rank : found) longest = std::max(longest, rank.total_seconds);
      if (!found.empty() && longest < together) together = longest, best = found;
    }
    return transport_.rank() == 0 ? report(hop, alone, together, best) : BenchRows::array();
  }

 private:
  ring::Statistics run_ring() {
    const auto tokens = [this](Index, Index first, Index count) { return std::span(ids_).subspan(first, count); };
    ring::Request request;
    request.embedding = true;
    request.pool = ring::Pool::last;  // a single row at the end: nothing but the layers is measured
    return ring::run({plan_, *bench_.model, bench_.kernels, request, tokens, kTimeout, [](ring::SliceResult, double) {}}, transport_, stream_);
  }

  std::vector<ring::Statistics> gather(const ring::Statistics& mine) {
    const auto bytes = std::as_bytes(std::span(&mine, 1));
    std::vector<ring::Statistics> all;
    for (const auto& one : transport_.gather({bytes.begin(), bytes.end()}, "every rank's statistics", kTimeout)) {
      std::memcpy(&all.emplace_back(), one.data(), sizeof(ring::Statistics));
    }
    return all;
  }

  // The forecast is the plan's, with the rates of rank 0 alone: what is lost beyond it is lost to unequal ranks, shared
  // memory bandwidth, and waiting that the closed form does not know.
  BenchRows report(double hop, double alone, double together, const std::vector<ring::Statistics>& ranks) const {
    const model::Config& config = bench_.model->config();
    const model::StateShape& state = bench_.model->state_shape();
    const model::Cost cost = model::estimate_cost(config, bench_.model->precision(), bench_.model->weights());
    const double rate = double(options_.tokens) * (cost.layer_flops + cost.state_flops) / alone;
    const plan::Forecast forecast = plan::make_forecast(
        plan_, {config.layers, config.channels, state.layer_floats() * Index{sizeof(float)}, cost.layer_flops, cost.state_flops, rate,
                rate, hop, cost.weight_bytes, cost.activation_bytes});
    double most_wait = 0, wait = 0;
    for (const auto& rank : ranks) wait += rank.wait_seconds, most_wait = std::max(most_wait, rank.wait_seconds);
    const double P = transport_.size();
    BenchRows rows = BenchRows::array();
    rows.push_back({{"model", bench_.name},
                    {"precision", name_of(bench_.model->precision())},
                    {"weights", name_of(bench_.model->weights())},
                    {"ranks", transport_.size()},
                    {"threads", options_.threads},
                    {"tokens", options_.tokens},
                    {"block", options_.block_tokens},
                    {"one rank, tokens/s", double(options_.tokens) / alone},
                    {"tokens/s", double(options_.tokens) / together},
                    {"speed-up", alone / together},
                    {"efficiency", alone / together / P},
                    {"forecast", forecast.efficiency},
                    {"hop us", hop * 1e6},
                    {"waited", wait / P / together},
                    {"most waited", most_wait / together}});
    return rows;
  }

  const BenchModel& bench_;
  const BenchOptions& options_;
  Transport& transport_;
  ThreadPool pool_;
  OwnStream stream_;
  std::vector<TokenId> ids_;
  plan::Plan plan_;
};

}  // namespace

BenchRows bench_ring(const BenchOptions& options) {
  BenchRows rows;
  const std::string transport = options.transport == "auto" ? transport::started_under_mpi() ? "mpi" : options.ranks > 1 ? "threads" : "self"
                                                            : options.transport;
  const bool processes = runs_processes(transport);
  const kernels::KernelTable& kernels = open_backend(options.backend, transport);
  std::unique_ptr<const BenchModel> bench;  // ranks that are threads have one
  if (!processes) bench = std::make_unique<BenchModel>(options, kernels, false);
  transport::run_ranks(transport, {.ranks = static_cast<int>(options.ranks), .timeout = kTimeout, .device = kernels.device}, [&](Transport& rank) {
    if (processes) bench = std::make_unique<BenchModel>(options, kernels, false, rank);
    const BenchRows found = RingBench(*bench, options, rank).run();
    if (rank.rank() == 0) rows = found;
    return 0;
  });
  return rows;
}

}  // namespace riverrun::jobs
