// riverrun bench kernels: every operation that a model calls, timed where it stands, beside what the machine can do.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "core/buffer.h"
#include "core/error.h"
#include "jobs/bench/bench.h"
#include "jobs/bench/kernel_recorder.h"

namespace riverrun::jobs {

namespace {

// FLOP/s of the fastest product the backend is known to do: square, no epilogue, rows and weights within a core's cache or
// beyond it.
double best_product_rate(const BenchModel& bench, kernels::PackMatrix pack, DType type) {
  double best = 0;
  for (const Index size : {Index{512}, Index{1024}}) {
    for (const Index rows : {Index{128}, Index{512}}) {
      const Array<float> weights(size * size, 0.01f), y(rows * size, 0.0f);
      const auto packed = pack({weights.data(), DType::f32, size, size, size, 1}, type, bench.stream);
      Buffer x(rows * size * size_of(type));
      for (Index i = 0; i < rows * size; ++i) store_float(x.data(), type, i, 0.01f);
      const kernels::MatmulArgs product{rows, x.data(), packed.get(), y.data(), DType::f32, kernels::Epilogue::none};
      const auto seconds = time_rounds(20, [&] { bench.kernels.matmul({&product, 1}, bench.stream); });
      best = std::max(best, 2.0 * double(rows) * double(size) * double(size) / seconds.front());
    }
  }
  return best;
}

// Bytes/s that all threads together read, or write, again and again in as much memory as an operation touches: which cache
// it fits decides. Measured once for each power of two.
class MemoryRates {
 public:
  explicit MemoryRates(ThreadPool& pool) : pool_(pool) {}
  double read(double footprint) {
    // The C library's search reads as fast as the machine can; what it looks for is not there.
    return rate(reads_, footprint, [](std::byte* data, std::size_t size) {
      RR_CHECK(std::memchr(data, 2, size) == nullptr, "memory has changed");
    });
  }
  double write(double footprint) {
    return rate(writes_, footprint, [](std::byte* data, std::size_t size) {
      std::memset(data, 1, size);
      asm volatile("" : : "r"(data) : "memory");  // or the compiler may leave out all but the last
    });
  }

 private:
  using Rates = std::map<int, double>;
  static constexpr int kLeast = 14, kMost = 29;  // powers of two: 16 KiB to 512 MiB, beyond any cache

  template <class Body>
  double rate(Rates& known, double footprint, const Body& body) {
    const int power = std::clamp(static_cast<int>(std::ceil(std::log2(std::max(1.0, footprint)))), kLeast, kMost);
    const auto at = known.find(power);
    return at != known.end() ? at->second : known[power] = measure(Index{1} << power, body);
  }

  template <class Body>
  double measure(Index size, const Body& body) {
    Buffer memory(size);
    std::memset(memory.data(), 1, static_cast<std::size_t>(size));
    const Index passes = std::max<Index>(1, (Index{8} << 20) / size);  // starting the threads must not count
    const auto all = [&] {
      pool_.run_ranges(size, 1, [&](Index begin, Index end, int) {
        for (Index pass = 0; pass < passes; ++pass) body(memory.data() + begin, static_cast<std::size_t>(end - begin));
      });
    };
    return double(size * passes) / best_time(all);
  }

  ThreadPool& pool_;
  Rates reads_, writes_;
};

// The least time a call can take: the longest of what no overlap hides. And the name of that.
struct Ceiling {
  const char* name;
  double seconds;
};

struct Ceilings {
  DType precision;
  double product_rate, float_rate;  // in the model's precision; in fp32, which everything but products computes in
  double weight_bytes;              // of the whole model: how far a matrix is away when its turn comes again
  MemoryRates memory;

  Ceiling of(const KernelWork& work) {
    const double footprint = work.read + work.written;
    const Ceiling all[] = {
        {"product", work.flops / (work.weights > 0 ? product_rate : float_rate)},
        {"weights", work.weights > 0 ? work.weights / memory.read(weight_bytes) : 0},
        {"read", work.read > 0 ? work.read / memory.read(footprint) : 0},
        {"write", work.written > 0 ? work.written / memory.write(footprint) : 0},
    };
    return *std::ranges::max_element(all, {}, &Ceiling::seconds);
  }
};

// `total`: seconds of all operations of a block; 0 for what is not part of a block.
void add_row(BenchRows& rows, const BenchOptions& options, const BenchModel& bench, const KernelCalls& at, Index calls,
             double total, Ceilings& ceilings) {
  const Ceiling ceiling = ceilings.of(at.work);
  rows.push_back({{"model", bench.name},
                  {"precision", name_of(bench.model->precision())},
                  {"weights", name_of(bench.model->weights())},
                  {"threads", options.threads},
                  {"operation", at.operation},
                  {"shape", at.shape},
                  {"calls", calls},
                  {"us", at.best * 1e6},
                  {"share of block", total > 0 ? double(calls) * at.best / total : 0.0},
                  {"GFLOP/s", at.work.flops / at.best / 1e9},
                  {"GB/s", (at.work.read + at.work.written + at.work.weights) / at.best / 1e9},
                  {"ceiling", ceiling.name},
                  {"share of ceiling", ceiling.seconds / at.best}});
}

}  // namespace

BenchRows bench_kernels(const BenchOptions& options) {
  const auto& real = open_backend(options.backend);
  KernelRecorder recorder(real);
  const BenchModel bench(options, recorder.table(), true);
  const model::Model& model = *bench.model;
  const auto packing = recorder.take();

  const Index B = options.block_tokens;
  const auto ids = made_up_tokens(B, model.config().vocab);
  const auto workspace = model.make_workspace(B, bench.stream);
  model::State state(model.state_shape());
  Array<float> hidden(B * model.config().channels), log_probs(B);
  Array<double> sums(model.config().channels, 0.0);
  const auto run_block = [&] {
    run_blocks(model, *workspace, bench.stream, ids, B, state);
    model.hidden(*workspace, 0, B, hidden.data());
    model.log_probs(*workspace, 0, ids, log_probs.data());
    bench.kernels.sum_rows({B, model.config().channels, hidden.data(), sums.data()}, bench.stream);
  };
  run_block();
  recorder.take();  // of the first block: pages and threads are new to it
  for (Index round = 0; round < options.rounds; ++round) run_block();
  const auto block = recorder.take();

  double total = 0;
  for (const auto& at : block) total += double(at.calls / options.rounds) * at.best;
  Ceilings ceilings{model.precision(), best_product_rate(bench, bench.pack_large(), model.precision()),
                    best_product_rate(bench, bench.kernels.pack_matrix, DType::f32), double(model.weight_bytes()),
                    MemoryRates(*bench.pool)};
  BenchRows rows = BenchRows::array();
  for (const auto& at : packing) add_row(rows, options, bench, at, at.calls, 0, ceilings);
  for (const auto& at : block) add_row(rows, options, bench, at, at.calls / options.rounds, total, ceilings);
  return rows;
}

}  // namespace riverrun::jobs
