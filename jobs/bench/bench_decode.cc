// riverrun bench decode: tokens/s when every sequence of a batch grows by one token at a time, the head included.

#include <algorithm>

#include "generate/batch_steps.h"
#include "jobs/bench/ceilings.h"

namespace riverrun::jobs {

namespace {

// `batch` sequences, each with a state of its own.
class Sequences {
 public:
  Sequences(const model::Model& model, Index batch, Stream stream)
      : workspace_(model.make_workspace(batch, stream, kernels::Phase::decode)), stream_(stream), ids_(batch, 1),
        logits_(batch * model.config().vocab, model.device()), states_(batch),
        steps_(model, *workspace_, [this, &model](Index rows) { model.logits(*workspace_, 0, rows, logits_.data()); }, stream) {
    for (auto& state : states_) {
      auto initial = std::make_unique<model::State>(model.make_state());
      model::move_state(model, initial, state, stream);
      pointers_.push_back(state.get());
    }
  }

  void step() {
    steps_.launch(ids_, pointers_);
    stream_.synchronize();
  }

 private:
  std::unique_ptr<model::Workspace> workspace_;
  Stream stream_;
  std::vector<TokenId> ids_;
  Array<float> logits_;
  std::vector<std::unique_ptr<model::State>> states_;
  std::vector<model::State*> pointers_;
  generate::BatchSteps steps_;
};

}  // namespace

BenchRows bench_decode(const BenchOptions& options) {
  constexpr double kSeconds = 0.1;  // of steps in a round
  const BenchModel bench(options, true);
  const model::Model& model = *bench.model;
  const model::Cost cost = model::estimate_cost(model.config(), model.precision(), model.weights());
  MemoryMeter memory(bench);
  // Every step reads all weights but the embedding, and reads and writes each sequence's state.
  const double embedding_bytes = double(model.config().vocab * model.config().channels * size_of(model.config().weights));
  const double weight_bytes = double(model.weight_bytes()) - embedding_bytes, state_bytes = 2.0 * double(model.state_shape().bytes());
  BenchRows rows = BenchRows::array();
  for (const Index batch : options.batches) {
    Sequences sequences(model, batch, bench.stream);
    ProductMeter products(bench, batch);
    std::vector<double> taken, weights, states, arithmetic, bounds, shares;  // of each round
    sequences.step();
    for (Index round = 0; round < std::max<Index>(options.rounds, 5); ++round) {
      taken.push_back(mean_time(kSeconds, [&] { sequences.step(); }));
      const double read_rate = memory.bytes_per_second();
      weights.push_back(weight_bytes / read_rate);
      states.push_back(double(batch) * state_bytes / read_rate);
      arithmetic.push_back(double(batch) * (cost.layer_flops + cost.head_flops) / products.flops_per_second());
      // A product can compute while its weights arrive; a recurrence has nothing to compute while states come and go.
      bounds.push_back(std::max(weights.back(), arithmetic.back()) + states.back());
      shares.push_back(bounds.back() / taken.back());
    }
    const double best = *std::ranges::min_element(taken);
    rows.push_back({{"model", bench.name},
                    {"precision", name_of(model.precision())},
                    {"weights", name_of(model.weights())},
                    {"threads", options.threads},
                    {"batch", batch},
                    {"tokens/s", double(batch) / best},
                    {"ms/step", best * 1e3},
                    {"weights ms", median(weights) * 1e3},
                    {"states ms", median(states) * 1e3},
                    {"arithmetic ms", median(arithmetic) * 1e3},
                    {"bound ms", median(bounds) * 1e3},
                    {"share", median(shares)},
                    {"GB/s", weight_bytes / median(weights) / 1e9}});
  }
  return rows;
}

}  // namespace riverrun::jobs
