#include <algorithm>

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr int kMostMixes = 8;

struct MixParameters {
  Index D;
  const float *normal, *change;
  Index mixes;
  const float* mu[kMostMixes];
  const float* delta[kMostMixes];
  void* out[kMostMixes];
};

template <bool kWhole, class To>
__global__ void dynamic_mix_kernel(const __grid_constant__ MixParameters args) {
  wait_for_previous();
  const Index D = args.D, at = own_column(), row = blockIdx.x * D;
  if (at >= D) return;
  const float4 normal = load_four<kWhole>(args.normal + row, at, D),
               change = load_four<kWhole>(args.change + row, at, D);
  float4 mu[kMostMixes], delta[kMostMixes];  // all are asked for before the first is waited for
#pragma unroll
  for (int q = 0; q < kMostMixes; ++q) {
    if (q < args.mixes) mu[q] = load_four<kWhole>(args.mu[q], at, D), delta[q] = load_four<kWhole>(args.delta[q] + row, at, D);
  }
#pragma unroll
  for (int q = 0; q < kMostMixes; ++q) {
    if (q < args.mixes) store_four<kWhole>(static_cast<To*>(args.out[q]) + row, at, D, fma_four(change, mu[q] + delta[q], normal));
  }
}

}  // namespace

void dynamic_mix(const DynamicMixArgs& args, Stream stream) {
  RR_CHECK(args.mixes <= kMostMixes, args.mixes, " mixes at once");
  MixParameters parameters = {.D = args.D, .normal = args.normal, .change = args.change, .mixes = args.mixes};
  std::copy_n(args.mu, args.mixes, parameters.mu);
  std::copy_n(args.delta, args.mixes, parameters.delta);
  std::copy_n(args.out, args.mixes, parameters.out);
  bool whole = whole_fours(args.D, args.normal, args.change);
  for (Index q = 0; q < args.mixes; ++q)
    whole = whole && whole_fours(args.D, args.mu[q], args.delta[q], args.out[q]);
  with_type(static_cast<void*>(nullptr), args.out_type, [&]<class To>(To*) {
    with_flag(whole, [&](auto is_whole) {
      launch(dynamic_mix_kernel<is_whole.value, To>, blocks_of_columns(args.M, args.D), threads_for(args.D), 0, stream, parameters);
    });
  });
}

}  // namespace riverrun::kernels::cuda
