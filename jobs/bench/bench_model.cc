// The model and the clock of `riverrun bench`.

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/log.h"
#include "jobs/bench/bench.h"
#include "jobs/bench/known_shapes.h"
#include "jobs/run/machine.h"
#include "jobs/run/node_model.h"

namespace riverrun::jobs {

namespace {

constexpr auto kLoadTimeout = std::chrono::seconds(60);

double seconds_of(const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// A file that is gone when this object is: the weights are packed copies by then.
struct TemporaryFile {
  explicit TemporaryFile(const char* suffix)
      : path((std::filesystem::temp_directory_path() / concat("riverrun-bench-", ::getpid(), suffix)).string()) {}
  ~TemporaryFile() {
    std::error_code ignored;  // gone already, or never made
    std::filesystem::remove(path, ignored);
  }
  std::string path;
};

}  // namespace

BenchModel::BenchModel(const BenchOptions& options, const kernels::KernelTable& table)
    : kernels(table), pool(std::make_unique<ThreadPool>(static_cast<int>(options.threads))),
      stream(*kernels.device, *pool),
      name(options.model.empty() ? concat(options.generation, " ", options.shape) : std::filesystem::path(options.model).filename().string()) {}

BenchModel::BenchModel(const BenchOptions& options, const kernels::KernelTable& table, bool need_head) : BenchModel(options, table) {
  model = load(options, need_head, private_weights());
}

BenchModel::BenchModel(const BenchOptions& options, const kernels::KernelTable& table, bool need_head, transport::Transport& transport)
    : BenchModel(options, table) {
  CorpusJobOptions job;
  job.model = options.model, job.precision = options.precision, job.weights = options.weights, job.backend = options.backend;
  const std::string identity = options.model.empty() ? concat(name, ", precision ", job.precision, ", weights ", job.weights) : identity_of(job);
  const auto load_into = [&](WeightStorage& storage) { return load(options, need_head, storage); };
  model = load_node_model({ShareWeights::automatic, kernels.device->kind(), identity, load_into, {}, [](const model::Model&) {}, kLoadTimeout}, transport);
}

std::unique_ptr<model::Model> BenchModel::load(const BenchOptions& options, bool need_head, WeightStorage& storage) const {
  const auto use = [&](const model::StateShape&) { return model::Use{.block_tokens = std::min(options.block_tokens, options.tokens)}; };
  const model::LoadOptions load{options.precision, need_head, "", options.weights, &storage, use};
  if (!options.model.empty()) return model::load_model(options.model, kernels, stream, load);
  const TemporaryFile file(".safetensors");
  if (launched_rank() == 0) log_info("making random weights: ", name);
  checkpoint::write_random_model(file.path, known_shape(options.generation, options.shape));
  return model::load_model(file.path, kernels, stream, load);
}

std::vector<double> time_rounds(Index rounds, const std::function<void()>& body) {
  body();
  std::vector<double> seconds;
  for (Index round = 0; round < rounds; ++round) seconds.push_back(seconds_of(body));
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

double median(std::vector<double> numbers) {
  const auto middle = numbers.begin() + std::ssize(numbers) / 2;
  std::nth_element(numbers.begin(), middle, numbers.end());
  return *middle;
}

double mean_time(double least_seconds, const std::function<void()>& body) {
  Index calls = 0;
  double took = 0;
  do {
    took += seconds_of(body);
    ++calls;
  } while (took < least_seconds);
  return took / static_cast<double>(calls);
}

double best_time(const std::function<void()>& body) {
  constexpr double kBatchSeconds = 0.01;
  Index calls = 1;
  double took = seconds_of(body);
  while ((took = seconds_of([&] { for (Index i = 0; i < calls; ++i) body(); })) < kBatchSeconds) calls *= 2;
  double best = took;
  for (int batch = 0; batch < 5; ++batch) best = std::min(best, seconds_of([&] { for (Index i = 0; i < calls; ++i) body(); }));
  return best / static_cast<double>(calls);
}

std::vector<TokenId> made_up_tokens(Index count, Index vocab) {
  std::vector<TokenId> ids(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) ids[i] = static_cast<TokenId>((i * 7919 + 13) % vocab);
  return ids;
}

void run_blocks(const model::Model& model, model::Workspace& workspace, Stream stream, std::span<const TokenId> ids, Index block_tokens,
                model::State& state) {
  model::State* const states[] = {&state};
  for (std::size_t first = 0; first < ids.size(); first += static_cast<std::size_t>(block_tokens)) {
    const auto block = ids.subspan(first, std::min(static_cast<std::size_t>(block_tokens), ids.size() - first));
    const kernels::Segment segment{0, static_cast<Index>(block.size())};
    model.start(workspace, block, {&segment, 1});
    model::run_layers(model, workspace, states);
  }
  stream.synchronize();
}

}  // namespace riverrun::jobs
