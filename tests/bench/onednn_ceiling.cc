// What oneDNN reaches by itself: one call for the whole product, its own OpenMP threads, weights as it likes them. What
// our split into single-threaded panels may lose shows in the difference to `riverrun bench kernels`.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>

namespace {

using dnnl::memory;

void benchmark_onednn(benchmark::State& state, memory::data_type type) {
  const memory::dim M = state.range(0), N = state.range(1), K = state.range(2);
  omp_set_num_threads(static_cast<int>(state.range(3)));
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc x({M, K}, type, memory::format_tag::ab), any({K, N}, type, memory::format_tag::any);
  const memory::desc y({M, N}, memory::data_type::f32, memory::format_tag::ab);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc descriptor(engine, x, any, y);
#else
  const dnnl::matmul::primitive_desc descriptor(dnnl::matmul::desc(x, any, y), engine);
#endif
  const dnnl::matmul product(descriptor);
  const memory x_memory(x, engine), w_memory(descriptor.weights_desc(), engine), y_memory(y, engine);
  for (const auto* part : {&x_memory, &w_memory})
    std::memset(part->get_data_handle(), 0, part->get_desc().get_size());
  for (auto _ : state) {
    product.execute(stream,
                    {{DNNL_ARG_SRC, x_memory}, {DNNL_ARG_WEIGHTS, w_memory}, {DNNL_ARG_DST, y_memory}});
    stream.wait();
  }
  const double flop = 2.0 * static_cast<double>(M * N * K);
  state.counters["GFLOP/s"] = benchmark::Counter(flop * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"M", "N", "K", "threads"})->UseRealTime();
  for (const auto& [N, K] :
       {std::pair<int, int>{768, 768}, {3072, 768}, {768, 3072}, {64, 768}, {768, 64}, {128, 768}}) {
    for (const int M : {1, 64, 256, 512}) {
      for (const int threads : {1, 2}) benchmark->Args({M, N, K, threads});
    }
  }
}

BENCHMARK_CAPTURE(benchmark_onednn, fp32, memory::data_type::f32)->Name("onednn/fp32")->Apply(shapes);
BENCHMARK_CAPTURE(benchmark_onednn, bf16, memory::data_type::bf16)->Name("onednn/bf16")->Apply(shapes);

}  // namespace
