// The model, the clock and the ceilings of `riverrun bench`.

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "core/buffer.h"
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
  const model::LoadOptions load{options.precision, need_head, "", options.weights, &storage};
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

double best_time(const std::function<void()>& body) {
  constexpr double kBatchSeconds = 0.01;
  Index calls = 1;
  double took = seconds_of(body);
  while ((took = seconds_of([&] { for (Index i = 0; i < calls; ++i) body(); })) < kBatchSeconds) calls *= 2;
  double best = took;
  for (int batch = 0; batch < 5; ++batch) best = std::min(best, seconds_of([&] { for (Index i = 0; i < calls; ++i) body(); }));
  return best / static_cast<double>(calls);
}

double measure_product_rate(const BenchModel& bench, Index rows) {
  const Index D = bench.model->config().channels, F = bench.model->config().ffn;
  const DType type = bench.model->precision();
  const auto pack = bench.pack_large();
  double flops = 0, seconds = 0;
  struct Shape {
    Index N, K, count;
  };
  for (const Shape shape : {Shape{D, D, 4}, Shape{F, D, 1}, Shape{D, F, 1}}) {
    const Array<float> weights(shape.N * shape.K, 0.01f), y(rows * shape.N, *bench.kernels.device);
    const auto packed = pack({weights.data(), DType::f32, shape.N, shape.K, shape.K, 1}, type, bench.stream);
    Buffer row(rows * shape.K * size_of(type));
    for (Index i = 0; i < rows * shape.K; ++i) store_float(row.data(), type, i, 0.01f);
    const Buffer x(row.bytes(), *bench.kernels.device);
    bench.kernels.device->copy(x.data(), row.data(), row.bytes(), bench.stream);
    const Stream stream = bench.stream;
    const double one = best_time([&] {
      bench.kernels.matmul({rows, x.data(), packed.get(), y.data(), DType::f32, kernels::Epilogue::none}, stream);
      stream.synchronize();
    });
    seconds += one * double(shape.count);
    flops += 2.0 * double(rows) * double(shape.N) * double(shape.K) * double(shape.count);
  }
  return flops / seconds;
}

// On a GPU of a copy, which reads and writes.
double measure_read_rate(const BenchModel& bench) {
  constexpr Index kBytes = Index{512} << 20;  // beyond any cache
  Device& device = *bench.kernels.device;
  if (device.kind() != DeviceKind::cpu) {
    const Buffer from(kBytes, device), to(kBytes, device);
    return 2.0 * double(kBytes) / time_rounds(5, [&] { device.copy(to.data(), from.data(), kBytes, bench.stream); }).front();
  }
  ThreadPool& pool = *bench.pool;
  const Buffer memory(kBytes);
  std::memset(memory.data(), 1, kBytes);
  // The C library's search reads as fast as the machine can; what it looks for is not there.
  const auto read = [&] {
    pool.run_ranges(kBytes, 1, [&](Index begin, Index end, int) {
      RR_CHECK(std::memchr(memory.data() + begin, 2, static_cast<std::size_t>(end - begin)) == nullptr, "memory has changed");
    });
  };
  return double(kBytes) / time_rounds(5, read).front();
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
