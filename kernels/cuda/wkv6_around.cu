// Around the recurrence of RWKV-5 and 6.
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/group_norm.cuh"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

template <bool kWhole>
__global__ void wkv6_decay_kernel(Wkv6DecayArgs args) {
  wait_for_previous();
  const Index at = own_column();
  if (at >= args.D) return;
  float* row = args.w + blockIdx.x * args.D;
  const float4 x = load_four<kWhole>(args.w0, at, args.D) + load_four<kWhole>(row, at, args.D);
  store_four<kWhole>(row, at, args.D,
                     {expf(-expf(x.x)), expf(-expf(x.y)), expf(-expf(x.z)), expf(-expf(x.w))});
}

// A warp takes a row's head.
template <class To>
__global__ void __launch_bounds__(kGroupThreads) wkv6_readout_kernel(Wkv6ReadoutArgs args, To* out) {
  wait_for_previous();
  const Index head = own_head(), N = args.N, D = args.H * N;
  if (head >= args.M * args.H) return;
  const Index at = head * N, d0 = at % D;
  const GroupNorm norm = group_norm(args.y + at, N, args.eps);
  for (Index n = threadIdx.x % kWarp; n < N; n += kWarp) {
    const Index i = at + n;
    const float normal = fmaf((args.y[i] - norm.mean) * norm.scale, args.weight[d0 + n], args.bias[d0 + n]);
    out[i] = narrow<To>(args.g == nullptr ? normal : normal * args.g[i]);
  }
}

}  // namespace

void wkv6_decay(const Wkv6DecayArgs& args, Stream stream) {
  with_flag(whole_fours(args.D, args.w, args.w0), [&](auto whole) {
    launch(wkv6_decay_kernel<whole.value>, blocks_of_columns(args.M, args.D), threads_for(args.D), 0, stream, args);
  });
}

void wkv6_readout(const Wkv6ReadoutArgs& args, Stream stream) {
  with_type(args.out, args.out_type, [&]<class To>(To* out) {
    const dim3 blocks(blocks_for(args.M * args.H, kHeadsOfBlock));
    launch(wkv6_readout_kernel<To>, blocks, kGroupThreads, 0, stream, args, out);
  });
}

}  // namespace riverrun::kernels::cuda
