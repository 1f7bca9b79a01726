// Speed of the CPU kernels on the shapes of the 0.1B RWKV-7 model (D 768, 12 heads of 64, F 3072), and where
// the time of one of its layers goes. Run: kernels_bench [--benchmark_filter=...]
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "kernels/table.h"

namespace riverrun::kernels {
namespace {

constexpr Index kD = 768, kF = 3072, kN = 64, kH = kD / kN;

const KernelTable& table() { return find_backend("auto"); }

struct Threads {
  explicit Threads(int count) : pool(count) {}
  operator Stream() { return {DeviceKind::cpu, &pool}; }
  ThreadPool pool;
};

// Small values around `center`: nothing overflows however often a kernel works in place.
Array<float> values(Index size, float center = 0.0f, float spread = 0.1f) {
  Array<float> all(size);
  std::mt19937 engine(1);
  std::uniform_real_distribution<float> any(center - spread, center + spread);
  for (auto& value : all.span()) value = any(engine);
  return all;
}

Buffer operands(Index size, DType type) {
  const auto from = values(size);
  Buffer all(size * size_of(type));
  for (Index i = 0; i < size; ++i) store_float(all.data(), type, i, from[i]);
  return all;
}

// One product of a layer with its memory.
class Product {
 public:
  Product(Index M, Index N, Index K, DType type, DType y_type, Epilogue epilogue, Stream stream)
      : x_(operands(M * K, type)), y_(M * N, 0.0f) {
    const auto w = values(N * K);
    packed_ = table().pack_matrix({w.data(), DType::f32, N, K, K, 1}, type, stream);
    args_ = {M, x_.data(), packed_.get(), y_.data(), y_type, epilogue};
  }
  void run(Stream stream) const { table().matmul(args_, stream); }

 private:
  Buffer x_;
  Array<float> y_;
  std::unique_ptr<PackedMatrix> packed_;
  MatmulArgs args_;
};

// Everything that is not a product, with the memory of a layer of M rows.
class LayerOps {
 public:
  LayerOps(Index M, DType type) : M_(M), type_(type), segment_{0, M} {
    for (auto& row : rows_) row = values(M * kD);
    for (auto& one : channels_) one = values(kD, 0.5f, 0.2f);
    for (auto& out : mixed_) out = Buffer(M * kD * size_of(type));
    w_ = values(M * kD, 0.98f, 0.01f);
    log_decay_ = values(kD, -0.5f, 0.4f), wkv4_state_ = Array<float>(3 * kD, 0.0f);
    state_ = Array<float>(kH * kN * kN, 0.0f), shift_ = Array<float>(kD, 0.0f);
  }

  void shift_mix(Index mixes, Stream stream) {
    const float* mu[6];
    void* out[6];
    for (Index q = 0; q < mixes; ++q) mu[q] = channels_[q].data(), out[q] = mixed_[q].data();
    float* row = shift_.data();
    table().shift_mix({M_, kD, rows_[0].data(), channels_[6].data(), channels_[7].data(), 1e-5f, 1, &segment_,
                       &row, &row, mixes, mu, out, type_},
                      stream);
  }
  void layer_norm(Stream stream) {
    table().layer_norm(
        {M_, kD, rows_[0].data(), channels_[6].data(), channels_[7].data(), 1e-5f, mixed_[0].data(), type_},
        stream);
  }
  void wkv7_inputs(Stream stream) {
    table().wkv7_inputs({M_, kH, kN, rows_[1].data(), rows_[2].data(), rows_[3].data(), rows_[4].data(),
                         rows_[5].data(), rows_[6].data(), rows_[7].data(), channels_[0].data(),
                         channels_[1].data(), channels_[2].data(), channels_[3].data(), channels_[4].data()},
                        stream);
  }
  void wkv7(Stream stream) {
    float* state = state_.data();
    table().wkv7({M_, kH, kN, 0, kH, rows_[0].data(), w_.data(), rows_[2].data(), rows_[3].data(),
                  rows_[4].data(), rows_[5].data(), rows_[8].data(), 1, &segment_, &state, &state},
                 stream);
  }
  void wkv6(Stream stream) {
    float* state = state_.data();
    table().wkv6({M_, kH, kN, 0, kH, rows_[0].data(), w_.data(), kD, rows_[2].data(), rows_[3].data(),
                  channels_[0].data(), rows_[8].data(), 1, &segment_, &state, &state},
                 stream);
  }
  void wkv4(Stream stream) {
    float* state = wkv4_state_.data();
    table().wkv4({M_, kD, 0, kD, rows_[2].data(), rows_[3].data(), log_decay_.data(), channels_[5].data(),
                  rows_[8].data(), 1, &segment_, &state, &state},
                 stream);
  }
  void gate(Stream stream) {
    table().gate({M_, kD, rows_[0].data(), rows_[2].data(), nullptr, mixed_[0].data(), type_}, stream);
  }
  void wkv7_readout(Stream stream) {
    table().wkv7_readout(
        {M_, kH, kN, rows_[8].data(), rows_[0].data(), rows_[2].data(), rows_[3].data(), rows_[6].data(),
         channels_[5].data(), channels_[6].data(), channels_[7].data(), 64e-5f, mixed_[0].data(), type_},
        stream);
  }

 private:
  Index M_;
  DType type_;
  Segment segment_;
  Array<float> rows_[9], channels_[8], w_, state_, shift_, log_decay_, wkv4_state_;
  Buffer mixed_[6];
};

void benchmark_matmul(benchmark::State& state, Index N, Index K, DType type, Epilogue epilogue, int threads) {
  Threads pool(threads);
  const Index M = state.range(0);
  const Product product(M, N, K, type, DType::f32, epilogue, pool);
  for (auto _ : state) product.run(pool);
  const double flop = 2.0 * static_cast<double>(M * N * K);
  state.counters["GFLOP/s"] = benchmark::Counter(flop * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void register_products() {
  const struct {
    const char* name;
    Index N, K;
    Epilogue epilogue;
  } shapes[] = {
      {"768x768", kD, kD, Epilogue::none},           {"ffn_key_3072x768", kF, kD, Epilogue::relu_squared},
      {"ffn_value_768x3072", kD, kF, Epilogue::add}, {"lora_down_64x768", 64, kD, Epilogue::tanh},
      {"lora_up_768x64", kD, 64, Epilogue::none},    {"lora_down_128x768", 128, kD, Epilogue::sigmoid},
      {"lora_up_768x128", kD, 128, Epilogue::none}};
  for (const DType type : {DType::f32, DType::bf16}) {
    if (!table().multiplies(type)) continue;
    for (const int threads : {1, 2}) {
      for (const auto& shape : shapes) {
        const auto name = concat("matmul/", name_of(type), "/", shape.name, "/threads:", threads);
        benchmark::RegisterBenchmark(name.c_str(), benchmark_matmul, shape.N, shape.K, type, shape.epilogue,
                                     threads)
            ->ArgName("M")
            ->Arg(1)
            ->Arg(64)
            ->Arg(256)
            ->Arg(512)
            ->UseRealTime();
      }
    }
  }
}

void benchmark_recurrence(benchmark::State& state, void (LayerOps::*recurrence)(Stream)) {
  Threads pool(static_cast<int>(state.range(1)));
  const Index M = state.range(0);
  LayerOps layer(M, DType::f32);
  for (auto _ : state) (layer.*recurrence)(pool);
  state.counters["s/token/head"] =
      benchmark::Counter(static_cast<double>(M * kH),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(benchmark_recurrence, wkv6, &LayerOps::wkv6)
    ->Name("wkv6")
    ->ArgNames({"M", "threads"})
    ->ArgsProduct({{1, 64, 512, 2048}, {1, 2}})
    ->UseRealTime();
BENCHMARK_CAPTURE(benchmark_recurrence, wkv7, &LayerOps::wkv7)
    ->Name("wkv7")
    ->ArgNames({"M", "threads"})
    ->ArgsProduct({{1, 64, 512, 2048}, {1, 2}})
    ->UseRealTime();

void benchmark_wkv4(benchmark::State& state) {
  Threads pool(static_cast<int>(state.range(1)));
  const Index M = state.range(0);
  LayerOps layer(M, DType::f32);
  for (auto _ : state) layer.wkv4(pool);
  state.counters["s/token/channel"] =
      benchmark::Counter(static_cast<double>(M * kD),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(benchmark_wkv4)
    ->Name("wkv4")
    ->ArgNames({"M", "threads"})
    ->ArgsProduct({{1, 64, 512, 2048}, {1, 2}})
    ->UseRealTime();

// Bytes that have to cross memory, per row of D values.
void benchmark_rows(benchmark::State& state, double floats, double operand_values,
                    const std::function<void(LayerOps&, Stream)>& op) {
  Threads pool(static_cast<int>(state.range(1)));
  const Index M = state.range(0);
  LayerOps layer(M, DType::bf16);
  for (auto _ : state) op(layer, pool);
  state.SetBytesProcessed(static_cast<Index>(static_cast<double>(state.iterations() * M * kD) *
                                             (4 * floats + 2 * operand_values)));
}

void register_rows() {
  const struct {
    const char* name;
    double floats, operand_values;
    std::function<void(LayerOps&, Stream)> op;
  } ops[] = {{"layer_norm", 1, 1, [](LayerOps& layer, Stream stream) { layer.layer_norm(stream); }},
             {"shift_mix_6", 1, 6, [](LayerOps& layer, Stream stream) { layer.shift_mix(6, stream); }},
             {"shift_mix_1", 1, 1, [](LayerOps& layer, Stream stream) { layer.shift_mix(1, stream); }},
             {"gate", 2, 1, [](LayerOps& layer, Stream stream) { layer.gate(stream); }},
             {"wkv7_inputs", 11, 0, [](LayerOps& layer, Stream stream) { layer.wkv7_inputs(stream); }},
             {"wkv7_readout", 5, 1, [](LayerOps& layer, Stream stream) { layer.wkv7_readout(stream); }}};
  for (const auto& op : ops) {
    benchmark::RegisterBenchmark(op.name, benchmark_rows, op.floats, op.operand_values, op.op)
        ->ArgNames({"M", "threads"})
        ->ArgsProduct({{512}, {1, 2}})
        ->UseRealTime();
  }
}

// Where a layer's time goes: every step by itself, on the data of one layer.
double seconds_of(const std::function<void()>& step) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int round = 0; round < 7; ++round) {
    const auto start = Clock::now();
    step();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

void print_layer(Index M, DType type, int threads) {
  Threads pool(threads);
  const Stream stream = pool;
  LayerOps ops(M, type);
  std::vector<std::pair<std::string, double>> rows;
  double flop = 0;
  const auto add = [&](const std::string& name, const std::function<void()>& step) {
    step();
    rows.emplace_back(name, seconds_of(step));
  };
  const auto product = [&](const std::string& name, int count, Index N, Index K, DType y_type,
                           Epilogue epilogue) {
    const Product one(M, N, K, type, y_type, epilogue, stream);
    add(name, [&] {
      for (int i = 0; i < count; ++i) one.run(stream);
    });
    flop += 2.0 * static_cast<double>(count * M * N * K);
  };
  add("shift_mix, 6 lerps", [&] { ops.shift_mix(6, stream); });
  product("r, k, v", 3, kD, kD, DType::f32, Epilogue::none);
  product("LoRA down: w, a, v (64, 64, 32)", 2, 64, kD, type, Epilogue::tanh);
  product("LoRA down: v", 1, 32, kD, type, Epilogue::none);
  product("LoRA down: g (128)", 1, 128, kD, type, Epilogue::sigmoid);
  product("LoRA up: w, a", 2, kD, 64, DType::f32, Epilogue::none);
  product("LoRA up: v", 1, kD, 32, DType::f32, Epilogue::none);
  product("LoRA up: g", 1, kD, 128, DType::f32, Epilogue::none);
  add("wkv7_inputs", [&] { ops.wkv7_inputs(stream); });
  add("wkv7", [&] { ops.wkv7(stream); });
  add("wkv7_readout", [&] { ops.wkv7_readout(stream); });
  product("output", 1, kD, kD, DType::f32, Epilogue::add);
  add("shift_mix, 1 lerp", [&] { ops.shift_mix(1, stream); });
  product("ffn key", 1, kF, kD, type, Epilogue::relu_squared);
  product("ffn value", 1, kD, kF, DType::f32, Epilogue::add);

  double total = 0;
  for (const auto& row : rows) total += row.second;
  std::printf(
      "\none layer, M %lld, %s, %d threads: %.2f ms, %.0f tokens/s for 12 layers, products %.1f GFLOP\n",
      static_cast<long long>(M), name_of(type), threads, total * 1e3, static_cast<double>(M) / total / 12,
      flop * 1e-9);
  for (const auto& [name, seconds] : rows)
    std::printf("  %-34s %8.1f us  %5.1f %%\n", name.c_str(), seconds * 1e6, 100 * seconds / total);
}

}  // namespace
}  // namespace riverrun::kernels

int main(int argc, char** argv) {
  using namespace riverrun;
  benchmark::Initialize(&argc, argv);
  if (argc > 1 && std::string(argv[1]) == "--layer") {
    for (const DType type : {DType::bf16, DType::f32}) {
      if (!kernels::table().multiplies(type)) continue;
      for (const Index M : {1, 256, 512, 1024}) kernels::print_layer(M, type, 2);
    }
    return 0;
  }
  kernels::register_products();
  kernels::register_rows();
  benchmark::RunSpecifiedBenchmarks();
}
