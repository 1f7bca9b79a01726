#include "jobs/bench/ceilings.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace riverrun::jobs {

namespace {

constexpr Index kReadBytes = Index{512} << 20;  // beyond any cache
constexpr double kProductSeconds = 0.05;        // for each shape of product
// With few rows a product takes as long as its weights take to come: to stay in cache, in fp32, they are those of fewer columns of y.
constexpr Index kFewRows = 16, kCachedBytes = Index{2} << 20;

}  // namespace

ProductMeter::ProductMeter(const BenchModel& bench, Index rows) : bench_(bench), rows_(rows) {
  const Index D = bench.model->config().channels, F = bench.model->config().ffn;
  const DType type = bench.model->precision();
  Device& device = *bench.kernels.device;
  struct Shape {
    Index N, K, count;
  };
  for (const auto& [whole, K, count] : {Shape{D, D, 4}, Shape{F, D, 1}, Shape{D, F, 1}}) {
    const Index cached = std::max(Index{1}, kCachedBytes / (K * Index{sizeof(float)}));
    const Index N = rows <= kFewRows ? std::min(whole, cached) : whole;
    const Array<float> weights(N * K, 0.01f);
    Buffer host(rows * K * size_of(type));
    for (Index i = 0; i < rows * K; ++i) store_float(host.data(), type, i, 0.01f);
    Buffer x(host.bytes(), device);
    device.copy(x.data(), host.data(), host.bytes(), bench.stream);
    products_.push_back({N, K, count, bench.pack_large()({weights.data(), DType::f32, N, K, K, 1}, type, bench.stream), std::move(x),
                         Array<float>(rows * N, device)});
  }
}

double ProductMeter::flops_per_second() {
  const Stream stream = bench_.stream;
  double flops = 0, seconds = 0;
  for (const Product& product : products_) {
    seconds += double(product.count) * mean_time(kProductSeconds, [&] {
      const kernels::MatmulArgs args{rows_, product.x.data(), product.matrix.get(), product.y.data(), DType::f32, kernels::Epilogue::none};
      bench_.kernels.matmul({&args, 1}, stream);
      stream.synchronize();
    });
    flops += 2.0 * double(rows_) * double(product.N) * double(product.K) * double(product.count);
  }
  return flops / seconds;
}

MemoryMeter::MemoryMeter(const BenchModel& bench)
    : bench_(bench), memory_(kReadBytes, *bench.kernels.device),
      copy_(bench.kernels.device->kind() == DeviceKind::cpu ? 0 : kReadBytes, *bench.kernels.device) {
  if (copy_.bytes() == 0) std::memset(memory_.data(), 1, static_cast<std::size_t>(kReadBytes));
}

double MemoryMeter::bytes_per_second() {
  if (copy_.bytes() > 0) {
    return 2.0 * double(kReadBytes) / mean_time(0, [&] { bench_.kernels.device->copy(copy_.data(), memory_.data(), kReadBytes, bench_.stream); });
  }
  // The C library's search reads as fast as the machine can; what it looks for is not there.
  return double(kReadBytes) / mean_time(0, [&] {
    bench_.pool->run_ranges(kReadBytes, 1, [&](Index begin, Index end, int) {
      RR_CHECK(std::memchr(memory_.data() + begin, 2, static_cast<std::size_t>(end - begin)) == nullptr, "memory has changed");
    });
  });
}

}  // namespace riverrun::jobs
