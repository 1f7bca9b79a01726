#include "plan/forecast.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/error.h"

namespace riverrun::plan {

namespace {

struct Rates {
  double token_layer;  // seconds of one token in one layer, recurrence included
  double state_share;  // f
};

Rates rates_of(const Machine& machine) {
  RR_CHECK(machine.layers >= 1 && machine.flops_per_second > 0 && machine.state_flops_per_second > 0,
           "a forecast needs layers and rates");
  const double state = machine.state_flops_per_token / machine.state_flops_per_second;
  const double token = machine.flops_per_token / machine.flops_per_second + state;
  return {token / static_cast<double>(machine.layers), token > 0 ? state / token : 0};
}

struct Timing {
  std::vector<double> start, end;  // of each block, in seconds
};

// The recurrence of docs/ring.md over the plan's own order; plan.blocks is sorted so that whatever a block waits
// for comes before it.
Timing simulate(const Plan& plan, const Machine& machine, const Rates& rates) {
  Timing time{std::vector<double>(plan.blocks.size()), std::vector<double>(plan.blocks.size())};
  std::vector<double> free_at(plan.of_rank.size(), 0);
  for (std::size_t b = 0; b < plan.blocks.size(); ++b) {
    const Block& block = plan.blocks[b];
    const double layer = rates.token_layer * static_cast<double>(block.tokens);
    double& start = time.start[b] = free_at[block.rank];
    double least_end = 0;
    if (block.previous >= 0 && block.previous_rank != block.rank) {
      const double lag =
          rates.state_share * rates.token_layer * static_cast<double>(plan.blocks[block.previous].tokens) +
          machine.hop_seconds;
      start = std::max(start, time.start[block.previous] + lag);
      least_end = time.end[block.previous] + lag;
    }
    time.end[b] = std::max(start + static_cast<double>(machine.layers) * layer, least_end);
    free_at[block.rank] = time.end[b];
  }
  return time;
}

// The most outgoing carries that any one rank keeps at a time: from the start of the sending block until the
// receiving block has taken the last layer's state.
Index most_carries_kept(const Plan& plan, const Timing& time) {
  Index most = 0;
  for (const auto& blocks : plan.of_rank) {
    std::vector<std::pair<double, int>> changes;
    for (const Index b : blocks) {
      if (plan.blocks[b].next < 0) continue;
      changes.push_back({time.start[b], +1});
      changes.push_back({time.end[plan.blocks[b].next], -1});
    }
    std::sort(changes.begin(), changes.end());
    Index kept = 0;
    for (const auto& [when, change] : changes) most = std::max(most, kept += change);
  }
  return most;
}

}  // namespace

Forecast make_forecast(const Plan& plan, const Machine& machine) {
  const Rates rates = rates_of(machine);
  const Timing time = simulate(plan, machine, rates);
  const double layers = static_cast<double>(machine.layers);
  const double tokens = static_cast<double>(plan.tokens);

  Forecast forecast{};
  for (const double end : time.end) forecast.seconds = std::max(forecast.seconds, end);
  if (forecast.seconds > 0) {
    const double work = layers * rates.token_layer * tokens;
    forecast.efficiency = work / (static_cast<double>(plan.of_rank.size()) * forecast.seconds);
    forecast.tokens_per_second = tokens / forecast.seconds;
  }
  const double full_layer = rates.token_layer * static_cast<double>(plan.options.block_tokens);
  forecast.state_share = rates.state_share;
  forecast.hop_share = full_layer > 0 ? machine.hop_seconds / full_layer : 0;
  const double lag_share = forecast.state_share + forecast.hop_share;
  forecast.most_ranks = lag_share > 0 ? layers / lag_share : std::numeric_limits<double>::infinity();

  forecast.bytes_per_edge = machine.layers * machine.state_bytes_per_layer;
  for (const Block& block : plan.blocks)
    if (block.edge_in >= 0 && block.previous_rank != block.rank) forecast.bytes_sent += forecast.bytes_per_edge;
  const Index incoming = plan.edges > 0 ? 1 : 0;
  forecast.memory_per_rank = machine.weight_bytes + machine.activation_bytes_per_token * plan.options.block_tokens +
                             (most_carries_kept(plan, time) + incoming) * forecast.bytes_per_edge;
  return forecast;
}

}  // namespace riverrun::plan
