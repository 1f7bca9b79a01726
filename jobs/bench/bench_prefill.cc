// riverrun bench prefill: tokens/s of one document through all layers, beside what the machine's own rates allow.

#include <algorithm>

#include "jobs/bench/ceilings.h"

namespace riverrun::jobs {

namespace {

// Seconds of the recurrence alone, for a block in all layers.
double time_state_passes(const model::Model& model, model::Workspace& workspace, Stream stream, model::State& state) {
  constexpr double kSeconds = 0.05;
  float* const wkv = state.parts(0);
  return mean_time(kSeconds, [&] {
           model.pass_state(workspace, 0, 0, model.state_shape().parts, &wkv, &wkv);
           stream.synchronize();
         }) *
         double(model.config().layers);
}

}  // namespace

BenchRows bench_prefill(const BenchOptions& options) {
  const BenchModel bench(options, false);
  const model::Model& model = *bench.model;
  const Index B = std::min(options.block_tokens, options.tokens);
  const double flops = model::estimate_cost(model.config(), model.precision(), model.weights()).layer_flops;
  const auto ids = made_up_tokens(options.tokens, model.config().vocab);
  const auto workspace = model.make_workspace(B, bench.stream);
  model::State state = model.make_state();
  ProductMeter products(bench, B);
  std::vector<double> taken, product, recurrence, shares;  // of each round, the first three in seconds per token
  const auto run = [&](std::size_t tokens) { run_blocks(model, *workspace, bench.stream, std::span(ids).first(tokens), B, state); };
  run(ids.size());
  for (Index round = 0; round < options.rounds; ++round) {
    taken.push_back(mean_time(0, [&] { run(ids.size()); }) / double(options.tokens));
    product.push_back(flops / products.flops_per_second());
    run(static_cast<std::size_t>(B));  // leaves a whole block's activations
    recurrence.push_back(time_state_passes(model, *workspace, bench.stream, state) / double(B));
    shares.push_back((product.back() + recurrence.back()) / taken.back());
  }
  BenchRows rows = BenchRows::array();
  rows.push_back({{"model", bench.name},
                  {"precision", name_of(model.precision())},
                  {"weights", name_of(model.weights())},
                  {"threads", options.threads},
                  {"tokens", options.tokens},
                  {"block", B},
                  {"tokens/s", 1 / *std::ranges::min_element(taken)},
                  {"median", 1 / median(taken)},
                  {"bound", 1 / (median(product) + median(recurrence))},
                  {"share", median(shares)},
                  {"GFLOP/s", flops / median(product) / 1e9},
                  {"state ns/token", median(recurrence) * 1e9},
                  {"product us/token", median(product) * 1e6}});
  return rows;
}

}  // namespace riverrun::jobs
