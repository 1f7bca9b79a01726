// riverrun bench prefill: tokens/s of one document through all layers, beside what the machine's own rates allow.

#include <algorithm>

#include "jobs/bench/bench.h"

namespace riverrun::jobs {

namespace {

// Seconds of the recurrence alone, for a block in all layers.
double time_state_passes(const model::Model& model, model::Workspace& workspace, Stream stream, model::State& state) {
  float* const wkv = state.parts(0);
  return best_time([&] {
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
  const auto ids = made_up_tokens(options.tokens, model.config().vocab);
  const auto workspace = model.make_workspace(B, bench.stream);
  model::State state = model.make_state();
  const auto seconds = time_rounds(options.rounds, [&] { run_blocks(model, *workspace, bench.stream, ids, B, state); });

  const model::Cost cost = model::estimate_cost(model.config(), model.precision(), model.weights());
  const double product_rate = measure_product_rate(bench, B);
  run_blocks(model, *workspace, bench.stream, std::span(ids).first(static_cast<std::size_t>(B)), B, state);  // a whole block's activations
  const double state_seconds = time_state_passes(model, *workspace, bench.stream, state) / double(B);
  const double bound = 1 / (cost.layer_flops / product_rate + state_seconds);
  const double best = double(options.tokens) / seconds.front();
  BenchRows rows = BenchRows::array();
  rows.push_back({{"model", bench.name},
                  {"precision", name_of(model.precision())},
                  {"weights", name_of(model.weights())},
                  {"threads", options.threads},
                  {"tokens", options.tokens},
                  {"block", B},
                  {"tokens/s", best},
                  {"median", double(options.tokens) / median(seconds)},
                  {"bound", bound},
                  {"share", best / bound},
                  {"GFLOP/s", product_rate / 1e9},
                  {"state ns/token", state_seconds * 1e9},
                  {"product us/token", cost.layer_flops / product_rate * 1e6}});
  return rows;
}

}  // namespace riverrun::jobs
