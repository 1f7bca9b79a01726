// Times whole models of a released shape, with random weights, beside what the device copies and multiplies at best in the same run.
// As device_bench it needs neither MPI nor HDF5 nor the program, whose `riverrun bench` measures more.
//
//   model_bench BACKEND GENERATION SHAPE [TOKENS [BLOCK]]      (cuda rwkv7 1.5b 32768 8192)

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "core/error.h"
#include "core/thread_pool.h"
#include "generate/batch_steps.h"
#include "jobs/bench/known_shapes.h"
#include "tests/bench/noise.h"

namespace riverrun {
namespace {

double seconds_of(const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The best of several rounds, after one that is not counted.
double best_of(int rounds, const std::function<void()>& body) {
  body();
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) best = std::min(best, seconds_of(body));
  return best;
}

class Bench {
 public:
  Bench(const std::string& backend, const std::string& generation, const std::string& shape)
      : kernels_(kernels::find_backend(backend)), pool_(static_cast<int>(std::thread::hardware_concurrency())), stream_(ready(kernels_), pool_) {
    const std::string path = std::filesystem::temp_directory_path() / concat("model_bench-", ::getpid(), ".safetensors");
    const double made = seconds_of([&] { checkpoint::write_random_model(path, jobs::known_shape(generation, shape)); });
    const double loaded = seconds_of([&] { model_ = model::load_model(path, kernels_, stream_, {"bf16", true, ""}); });
    std::filesystem::remove(path);
    std::printf("%s %s in bf16: weights made in %.1f s, loaded in %.1f s\n", generation.c_str(), shape.c_str(), made, loaded);
  }

  void run(Index tokens, Index block) {
    const double copy = copy_rate(), product = product_rate(block);
    std::printf("copy of 1 GiB, read and written: %.1f GB/s; product of %lld rows: %.1f TFLOP/s\n", copy / 1e9, static_cast<long long>(block),
                product / 1e12);
    read_document(tokens, block, product);
    for (const Index batch : {1, 8, 64}) write_texts(batch, copy);
  }

 private:
  static Device& ready(const kernels::KernelTable& kernels) {
    kernels.device->require(0);
    return *kernels.device;
  }
  std::vector<TokenId> tokens(Index count) const {
    std::vector<TokenId> ids(static_cast<std::size_t>(count));
    for (Index i = 0; i < count; ++i) ids[i] = static_cast<TokenId>((i * 7919 + 13) % model_->config().vocab);
    return ids;
  }
  model::Cost cost() const { return model::estimate_cost(model_->config(), model_->precision(), model_->weights()); }

  double copy_rate() {
    constexpr Index kBytes = Index{1} << 30;
    const Buffer from(kBytes, *kernels_.device), to(kBytes, *kernels_.device);
    return 2.0 * double(kBytes) / best_of(5, [&] { kernels_.device->copy(to.data(), from.data(), kBytes, stream_); });
  }

  // Of the feed-forward key.
  double product_rate(Index rows) {
    const Stream stream = stream_;
    const Index N = model_->config().ffn, K = model_->config().channels;
    const Array<float> weights(N * K);
    for (Index i = 0; i < N * K; ++i) weights[i] = noise(i);
    const auto packed = kernels_.pack_matrix({weights.data(), DType::f32, N, K, K, 1}, model_->precision(), stream);
    const Buffer x(rows * K * size_of(model_->precision()), *kernels_.device);
    const Buffer row(x.bytes());
    for (Index i = 0; i < rows * K; ++i) store_float(row.data(), model_->precision(), i, noise(i + 1));
    kernels_.device->copy(x.data(), row.data(), x.bytes(), stream);
    const Array<float> y(rows * N, *kernels_.device);
    const kernels::MatmulArgs args{rows, x.data(), packed.get(), y.data(), DType::f32, kernels::Epilogue::none};
    return 2.0 * double(rows * N * K) / best_of(5, [&] { kernels_.matmul({&args, 1}, stream), stream.synchronize(); });
  }

  void read_document(Index count, Index block, double product) {
    const Stream stream = stream_;
    const auto ids = tokens(count);
    const auto workspace = model_->make_workspace(block, stream);
    model::State state = model_->make_state();
    model::State* const states[] = {&state};
    const double seconds = best_of(2, [&] {
      for (Index first = 0; first < count; first += block) {
        const auto part = std::span(ids).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(std::min(block, count - first)));
        const kernels::Segment segment{0, std::ssize(part)};
        model_->start(*workspace, part, {&segment, 1});
        model::run_layers(*model_, *workspace, states);
      }
      stream.synchronize();
    });
    const double flops = double(count) * cost().layer_flops / seconds;
    std::printf("reading %lld tokens in blocks of %lld: %.0f tokens/s, %.1f TFLOP/s in products, %.1f%% of the product's rate\n",
                static_cast<long long>(count), static_cast<long long>(block), double(count) / seconds, flops / 1e12, 100 * flops / product);
  }

  // A token of each of `batch` texts, the head included.
  void write_texts(Index batch, double copy) {
    const Stream stream = stream_;
    const auto workspace = model_->make_workspace(batch, stream, kernels::Phase::decode);
    const Array<float> logits(batch * model_->config().vocab, model_->device());
    std::vector<std::unique_ptr<model::State>> states(static_cast<std::size_t>(batch));
    std::vector<model::State*> pointers;
    for (auto& state : states) {
      auto initial = std::make_unique<model::State>(model_->make_state());
      model::move_state(*model_, initial, state, stream);
      pointers.push_back(state.get());
    }
    const auto ids = tokens(batch);
    generate::BatchSteps steps(*model_, *workspace, [&](Index rows) { model_->logits(*workspace, 0, rows, logits.data()); }, stream);
    const auto step = [&] { steps.launch(ids, pointers), stream.synchronize(); };
    for (Index launch = 0; launch <= generate::kLaunchesBeforeRecording; ++launch) step();
    const double seconds = best_of(20, step);
    const double bytes = double(cost().weight_bytes) - double(model_->config().vocab * model_->config().channels) * 2 +
                         2.0 * double(batch * model_->state_shape().bytes());
    std::printf("writing %lld texts: %.3f ms a step, %.0f tokens/s, weights and states at %.1f%% of the copy rate\n",
                static_cast<long long>(batch), seconds * 1e3, double(batch) / seconds, 100 * bytes / seconds / copy);
  }

  const kernels::KernelTable& kernels_;
  ThreadPool pool_;
  OwnStream stream_;
  std::unique_ptr<model::Model> model_;
};

}  // namespace
}  // namespace riverrun

int main(int argc, char** argv) try {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what is measured is kept, whatever ends the rest
  RR_CHECK_INPUT(argc >= 4 && argc <= 6, "usage: model_bench BACKEND GENERATION SHAPE [TOKENS [BLOCK]]");
  const auto number = [&](int at, long long otherwise) { return argc > at ? std::atoll(argv[at]) : otherwise; };
  riverrun::Bench(argv[1], argv[2], argv[3]).run(number(4, 32768), number(5, 4096));  // blocks as jobs choose them on GPUs
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "model_bench: %s\n", error.what());
  return 1;
}
