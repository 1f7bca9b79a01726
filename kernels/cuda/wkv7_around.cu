// Around the recurrence of RWKV-7. A warp takes a row's head, lane by lane of its channels.
#include "kernels/cuda/group_norm.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr float kDecayScale = 0.60653065971263342360f;  // e^{-1/2}

__global__ void __launch_bounds__(kGroupThreads) wkv7_inputs_kernel(Wkv7InputsArgs args) {
  wait_for_previous();
  const Index head = own_head(), N = args.N, D = args.H * N;
  if (head >= args.M * args.H) return;
  const Index at = head * N, d0 = at % D;
  float squares = 0;
  for (Index n = threadIdx.x % kWarp; n < N; n += kWarp) {
    const float removal = args.k[at + n] * args.k_k[d0 + n];
    squares = fmaf(removal, removal, squares);
  }
  float norm = sqrtf(sum_over_lanes(squares));
  norm = norm < 1e-12f ? 1e-12f : norm;  // lets a NaN through
  for (Index n = threadIdx.x % kWarp; n < N; n += kWarp) {
    const Index i = at + n, d = d0 + n;
    const float k = args.k[i], rate = sigmoid(args.a0[d] + args.a[i]), removal = k * args.k_k[d] / norm;
    args.w[i] = expf(-kDecayScale * sigmoid(args.w0[d] + args.w[i]));
    args.a[i] = -removal;
    args.b[i] = removal * rate;
    args.k[i] = k * fmaf(rate - 1.0f, args.k_a[d], 1.0f);
    if (args.v_mix != nullptr) {
      const float v = args.v[i];
      args.v[i] = fmaf(args.v_first[i] - v, sigmoid(args.v0[d] + args.v_mix[i]), v);
    }
  }
}

template <class To>
__global__ void __launch_bounds__(kGroupThreads) wkv7_readout_kernel(Wkv7ReadoutArgs args, To* out) {
  wait_for_previous();
  const Index head = own_head(), N = args.N, D = args.H * N;
  if (head >= args.M * args.H) return;
  const Index at = head * N, d0 = at % D;
  const GroupNorm norm = group_norm(args.y + at, N, args.eps);
  float bonus = 0;
  for (Index n = threadIdx.x % kWarp; n < N; n += kWarp) {
    bonus = fmaf(args.r[at + n] * args.k[at + n], args.r_k[d0 + n], bonus);
  }
  bonus = sum_over_lanes(bonus);
  for (Index n = threadIdx.x % kWarp; n < N; n += kWarp) {
    const Index i = at + n;
    const float normal = fmaf((args.y[i] - norm.mean) * norm.scale, args.weight[d0 + n], args.bias[d0 + n]);
    out[i] = narrow<To>(fmaf(bonus, args.v[i], normal) * args.g[i]);
  }
}

}  // namespace

void wkv7_inputs(const Wkv7InputsArgs& args, Stream stream) {
  launch(wkv7_inputs_kernel, dim3(blocks_for(args.M * args.H, kHeadsOfBlock)), kGroupThreads, 0, stream,
         args);
}

void wkv7_readout(const Wkv7ReadoutArgs& args, Stream stream) {
  with_type(args.out, args.out_type, [&]<class To>(To* out) {
    const dim3 blocks(blocks_for(args.M * args.H, kHeadsOfBlock));
    launch(wkv7_readout_kernel<To>, blocks, kGroupThreads, 0, stream, args, out);
  });
}

}  // namespace riverrun::kernels::cuda
