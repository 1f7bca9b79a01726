// What the benchmarks of `riverrun bench` share: their options, the model they run, the clock, and how results are shown.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "jobs/run/machine.h"
#include "kernels/table.h"
#include "model/model.h"
#include "transport/transport.h"

namespace riverrun::jobs {

struct BenchOptions {
  std::string model, shape, generation;  // a checkpoint, or the known shape that random weights are made in
  std::string backend = "auto", precision = "auto", weights = "auto", transport = "auto";
  Index threads = 0, tokens = 2048, block_tokens = 0, rounds = 3, ranks = 1;
  std::string tokenizer, input;  // of the tokenizer benchmark
  std::vector<Index> batches;
  bool json = false;
};

// Results: an array of objects, all with the same members; numbers are printed to three digits.
using BenchRows = nlohmann::ordered_json;

// A model to measure, with the kernels and threads it runs on. Random weights are written to a temporary file first.
struct BenchModel {
  BenchModel(const BenchOptions& options, const kernels::KernelTable& table, bool need_head);
  BenchModel(const BenchOptions& options, bool need_head) : BenchModel(options, open_backend(options.backend), need_head) {}
  // On ranks that are processes: one copy of the weights per node, where memory can be shared.
  BenchModel(const BenchOptions& options, const kernels::KernelTable& table, bool need_head, transport::Transport& transport);

  const kernels::KernelTable& kernels;
  std::unique_ptr<ThreadPool> pool;
  OwnStream stream;
  std::string name;  // "rwkv7 0.1b", or the file's
  std::unique_ptr<model::Model> model;

  // Packs a matrix as the model's large ones are.
  kernels::PackMatrix pack_large() const { return model->weights() == DType::i8 ? kernels.pack_int8 : kernels.pack_matrix; }

 private:
  BenchModel(const BenchOptions& options, const kernels::KernelTable& table);  // without the model
  std::unique_ptr<model::Model> load(const BenchOptions& options, bool need_head, WeightStorage& storage) const;
};

// Seconds of each of `rounds` runs of `body`, after one that is not counted; sorted, the best first.
std::vector<double> time_rounds(Index rounds, const std::function<void()>& body);
double median(std::vector<double> numbers);

// Seconds of one run of `body`, the mean of as many as take `least_seconds`.
double mean_time(double least_seconds, const std::function<void()>& body);

// Seconds of one run of `body`: the best of several batches that last some 50 ms in all. For bodies of microseconds.
double best_time(const std::function<void()>& body);

std::vector<TokenId> made_up_tokens(Index count, Index vocab);

// Takes `ids` through all layers, one block after the other, the state carried by hand.
void run_blocks(const model::Model& model, model::Workspace& workspace, Stream stream, std::span<const TokenId> ids, Index block_tokens,
                model::State& state);

// The benchmarks.
BenchRows bench_kernels(const BenchOptions& options);
BenchRows bench_prefill(const BenchOptions& options);
BenchRows bench_decode(const BenchOptions& options);
BenchRows bench_tokenizer(const BenchOptions& options);
BenchRows bench_ring(const BenchOptions& options);  // empty on ranks other than 0

}  // namespace riverrun::jobs
