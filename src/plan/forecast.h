// Forecast: what a plan will take, with the formulas it is made of (docs/ring.md).
#pragma once

#include <string>

#include "plan/plan.h"

namespace riverrun::plan {

// What the forecast needs to know of model and machine. Rates are per rank.
struct Machine {
  Index layers, channels, state_bytes_per_layer;  // state: WKV plus the two token-shift rows
  double flops_per_token;        // matrix products of all layers, and of the head where it is computed
  double state_flops_per_token;  // the recurrences alone: 9 N D L for RWKV-7
  double flops_per_second;       // matrix rate
  double state_flops_per_second;
  double hop_seconds;            // latency and transfer of one layer's state
  Index weight_bytes, activation_bytes_per_token;
};

struct Forecast {
  double seconds;              // makespan of the plan's own simulation, with the machine's rates
  double efficiency;           // work / (ranks * seconds)
  double tokens_per_second;
  double state_share;          // f: share of a layer's time that depends on the incoming state
  double hop_share;            // h/c: hop time over layer time of a full block
  double most_ranks;           // P_max = L / (f + h/c): the most that one document can use
  Index bytes_per_edge;        // one carry: all layers
  Index bytes_sent;            // over all edges between different ranks
  Index memory_per_rank;       // weights, activations, carries
};

Forecast make_forecast(const Plan& plan, const Machine& machine);

}  // namespace riverrun::plan
