// riverrun bench decode: tokens/s when every sequence of a batch grows by one token at a time, the head included.

#include <algorithm>

#include "jobs/bench/bench.h"

namespace riverrun::jobs {

namespace {

// `batch` sequences, each with a state of its own.
class Sequences {
 public:
  Sequences(const model::Model& model, Index batch, Stream stream)
      : model_(model), workspace_(model.make_workspace(batch, stream, kernels::Phase::decode)), stream_(stream), ids_(batch, 1),
        log_probs_(batch, model.device(), Memory::shared) {
    for (Index s = 0; s < batch; ++s) {
      segments_.push_back({s, s + 1});
      states_.push_back(model::to_device(model, std::make_unique<model::State>(model.make_state()), stream));
      pointers_.push_back(states_.back().get());
    }
  }

  void step() {
    model_.start(*workspace_, ids_, segments_);
    model::run_layers(model_, *workspace_, pointers_);
    model_.log_probs(*workspace_, 0, ids_, log_probs_.data());
    stream_.synchronize();
  }

 private:
  const model::Model& model_;
  std::unique_ptr<model::Workspace> workspace_;
  Stream stream_;
  std::vector<TokenId> ids_;
  Array<float> log_probs_;
  std::vector<kernels::Segment> segments_;
  std::vector<std::unique_ptr<model::State>> states_;
  std::vector<model::State*> pointers_;
};

}  // namespace

BenchRows bench_decode(const BenchOptions& options) {
  const BenchModel bench(options, true);
  const model::Model& model = *bench.model;
  const model::Cost cost = model::estimate_cost(model.config(), model.precision(), model.weights());
  const double read_rate = measure_read_rate(bench);
  // Every step reads all weights but the embedding, and reads and writes each sequence's state.
  const double embedding_bytes = double(model.config().vocab * model.config().channels * size_of(model.config().weights));
  const double weight_bytes = double(model.weight_bytes()) - embedding_bytes, state_bytes = 2.0 * double(model.state_shape().bytes());
  // A product can compute while its weights arrive; a recurrence has nothing to compute while states come and go.
  BenchRows rows = BenchRows::array();
  for (const Index batch : options.batches) {
    Sequences sequences(model, batch, bench.stream);
    const double seconds = time_rounds(std::max<Index>(options.rounds, 5), [&] { sequences.step(); }).front();
    const double weights = weight_bytes / read_rate, states = double(batch) * state_bytes / read_rate;
    const double arithmetic = double(batch) * (cost.layer_flops + cost.head_flops) / measure_product_rate(bench, batch);
    const double bound = std::max(weights, arithmetic) + states;
    rows.push_back({{"model", bench.name},
                    {"precision", name_of(model.precision())},
                    {"weights", name_of(model.weights())},
                    {"threads", options.threads},
                    {"batch", batch},
                    {"tokens/s", double(batch) / seconds},
                    {"ms/step", seconds * 1e3},
                    {"weights ms", weights * 1e3},
                    {"states ms", states * 1e3},
                    {"arithmetic ms", arithmetic * 1e3},
                    {"bound ms", bound * 1e3},
                    {"share", bound / seconds},
                    {"GB/s", read_rate / 1e9}});
  }
  return rows;
}

}  // namespace riverrun::jobs
