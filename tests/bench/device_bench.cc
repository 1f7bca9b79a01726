// Times the heavy operations of a backend at the shapes of large models, beside what the device copies and multiplies at best
// in the same run. It needs neither MPI nor HDF5 nor the program, so that it runs where there is little but a GPU.
//
//   device_bench BACKEND [CHANNELS [MOST_TOKENS]]      (cuda 4096 131072)

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "core/buffer.h"
#include "core/error.h"
#include "core/stream.h"
#include "core/thread_pool.h"
#include "kernels/table.h"
#include "tests/bench/noise.h"

namespace riverrun {
namespace {

constexpr Index kHead = 64;

class Bench {
 public:
  Bench(const std::string& backend, Index D) : kernels_(kernels::find_backend(backend)), D_(D), pool_(1), stream_(ready(kernels_), pool_) {}

  void run(Index most_tokens) {
    const Index free = kernels_.device->free_bytes();
    std::printf("%-34s %10s %12s %14s %8s\n", "operation", "rows", "us", "rate", "share");
    const double copy = copy_rate();
    std::printf("%-34s %10s %12s %11.1f GB/s\n", "copy of 1 GiB, read and written", "", "", copy / 1e9);
    for (const DType operand : {DType::bf16, DType::f32}) {
      for (Index T = 4096; T <= most_tokens; T *= 2) wkv7(T, operand, copy);
      for (Index T = 4096; T <= most_tokens; T *= 2) wkv6(T, operand, copy);
    }
    for (const DType type : {DType::bf16, DType::f32}) {
      if (!kernels_.multiplies(type)) continue;
      for (const Index rows : {2048, 4096, 8192}) product(rows, type, kernels::Phase::prefill, copy);
      for (const Index rows : {1, 16, 64}) product(rows, type, kernels::Phase::decode, copy);
    }
    for (const Index rows : {1, 64}) draw(rows);
    // What model/device_memory.cc allows for libraries and kernels.
    std::printf("%-34s %10s %12s %11lld MiB\n", "taken and not given back", "", "", static_cast<long long>((free - kernels_.device->free_bytes()) >> 20));
  }

 private:
  static Device& ready(const kernels::KernelTable& kernels) {
    kernels.device->require(0);
    return *kernels.device;
  }

  // Seconds of one of `calls` calls that are waited for together, the best of several rounds.
  double time(const std::function<void()>& body, int calls = 1) {
    const Stream stream = stream_;
    body(), stream.synchronize();
    double best = 1e9;
    for (int round = 0; round < 10; ++round) {
      const auto begin = std::chrono::steady_clock::now();
      for (int call = 0; call < calls; ++call) body();
      stream.synchronize();
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    return best / calls;
  }

  Array<float> filled(Index size, float value) {
    const Array<float> host(size, value);
    Array<float> there(size, *kernels_.device);
    kernels_.device->copy(there.data(), host.data(), size * Index{sizeof(float)}, stream_);
    return there;
  }

  double copy_rate() {
    constexpr Index kBytes = Index{1} << 30;
    const Buffer from(kBytes, *kernels_.device), to(kBytes, *kernels_.device);
    return 2.0 * double(kBytes) / time([&] { kernels_.device->copy(to.data(), from.data(), kBytes, stream_); });
  }

  // The bound is the traffic: six rows in, one out, fp32 as the interface has it, and a state in and out.
  void wkv7(Index T, DType operand, double copy) {
    const Index H = D_ / kHead;
    const Array<float> r = filled(T * D_, 0.1f), w = filled(T * D_, 0.99f), k = filled(T * D_, 0.1f), v = filled(T * D_, 0.1f),
                       a = filled(T * D_, -0.1f), b = filled(T * D_, 0.05f), y(T * D_, *kernels_.device),
                       state = filled(H * kHead * kHead, 0.0f);
    const kernels::Segment segment{0, T};
    float* const places[] = {state.data()};
    const double seconds = time([&] {
      kernels_.wkv7({T, H, kHead, 0, H, r.data(), w.data(), k.data(), v.data(), a.data(), b.data(), y.data(), 1, &segment, places, places,
                     kernels::Phase::prefill, operand},
                    stream_);
    });
    print_recurrence("wkv7", T, operand, 7, seconds, copy);
  }

  void wkv6(Index T, DType operand, double copy) {
    const Index H = D_ / kHead;
    const Array<float> r = filled(T * D_, 0.1f), w = filled(T * D_, 0.99f), k = filled(T * D_, 0.1f), v = filled(T * D_, 0.1f), u = filled(D_, 0.1f),
                       y(T * D_, *kernels_.device), state = filled(H * kHead * kHead, 0.0f);
    const kernels::Segment segment{0, T};
    float* const places[] = {state.data()};
    const double seconds = time([&] {
      kernels_.wkv6({T, H, kHead, 0, H, r.data(), w.data(), D_, k.data(), v.data(), u.data(), y.data(), 1, &segment, places, places,
                     kernels::Phase::prefill, operand},
                    stream_);
    });
    print_recurrence("wkv6", T, operand, 5, seconds, copy);
  }

  // `rows` are read and written for each token.
  void print_recurrence(const char* name, Index T, DType operand, Index rows, double seconds, double copy) const {
    const double bytes = 4.0 * double(rows * T * D_ + 2 * D_ * kHead);
    std::printf("%-34s %10lld %12.1f %11.1f GB/s %7.1f%%  %.2f ns/token\n", concat(name, " of a model in ", name_of(operand)).c_str(),
                static_cast<long long>(T), seconds * 1e6, bytes / seconds / 1e9, 100 * bytes / seconds / copy, seconds * 1e9 / double(T));
  }

  // The feed-forward key of the model: [4 D, D].
  void product(Index rows, DType type, kernels::Phase phase, double copy) {
    const Index N = 4 * D_, K = D_;
    const Array<float> weights(N * K);
    for (Index i = 0; i < N * K; ++i) weights[i] = noise(i);
    const auto packed = kernels_.pack_matrix({weights.data(), DType::f32, N, K, K, 1}, type, stream_);
    Buffer row(rows * K * size_of(type));
    for (Index i = 0; i < rows * K; ++i) store_float(row.data(), type, i, noise(i + 1));
    const Buffer x(row.bytes(), *kernels_.device);
    kernels_.device->copy(x.data(), row.data(), row.bytes(), stream_);
    const Array<float> y(rows * N, *kernels_.device);
    kernels::MatmulArgs args{rows, x.data(), packed.get(), y.data(), DType::f32, kernels::Epilogue::none};
    args.phase = phase;
    // A product of decode is as short as a launch and a wait.
    const double seconds = time([&] { kernels_.matmul({&args, 1}, stream_); }, phase == kernels::Phase::decode ? 20 : 1);
    const double flops = 2.0 * double(rows * N * K), bytes = double(packed->bytes());
    std::printf("%-34s %10lld %12.1f %9.1f TFLOP/s  weights at %.1f%% of the copy rate\n",
                concat("product ", name_of(type), phase == kernels::Phase::decode ? " decode" : " prefill").c_str(),
                static_cast<long long>(rows), seconds * 1e6, flops / seconds / 1e12, 100 * bytes / seconds / copy);
  }

  // The next tokens of texts, from a World vocabulary's logits.
  void draw(Index rows) {
    constexpr Index kVocabulary = 65536;
    std::vector<float> host(static_cast<std::size_t>(rows * kVocabulary));
    for (std::size_t i = 0; i < host.size(); ++i) host[i] = 10 * noise(static_cast<Index>(i));
    const Array<float> logits(rows * kVocabulary, *kernels_.device);
    kernels_.device->copy(logits.data(), host.data(), rows * kVocabulary * Index{sizeof(float)}, stream_);
    Array<std::uint64_t> random(rows, *kernels_.device, Memory::shared);
    Array<TokenId> tokens(rows, *kernels_.device, Memory::shared);
    for (Index m = 0; m < rows; ++m) random[m] = ~std::uint64_t{0} / 3;
    for (const double top_p : {1.0, 0.85}) {
      const double seconds = time([&] {
        kernels_.pick_largest({rows, kVocabulary, logits.data(), 0, nullptr, nullptr, nullptr, nullptr, tokens.data()}, stream_);
        kernels_.draw({rows, kVocabulary, logits.data(), 1, top_p, 0, random.data(), tokens.data()}, stream_);
      }, 20);
      std::printf("%-34s %10lld %12.1f\n", concat("token drawn, top_p ", top_p).c_str(), static_cast<long long>(rows), seconds * 1e6);
    }
  }

  const kernels::KernelTable& kernels_;
  Index D_;
  ThreadPool pool_;
  OwnStream stream_;
};

}  // namespace
}  // namespace riverrun

int main(int argc, char** argv) try {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what is measured is kept, whatever ends the rest
  RR_CHECK_INPUT(argc >= 2 && argc <= 4, "usage: device_bench BACKEND [CHANNELS [MOST_TOKENS]]");
  const auto number = [&](int at, long long otherwise) { return argc > at ? std::atoll(argv[at]) : otherwise; };
  riverrun::Bench(argv[1], number(2, 4096)).run(number(3, 131072));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "device_bench: %s\n", error.what());
  return 1;
}
