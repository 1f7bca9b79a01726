// Around the recurrence of RWKV-7. A warp takes a row's head, lane by lane of its channels.
#include "kernels/cuda/group_norm.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr float kDecayScale = 0.60653065971263342360f;  // e^{-1/2}

__global__ void __launch_bounds__(kGroupThreads) wkv7_inputs_kernel(Wkv7InputsArgs args) {
  const Index head = own_head(), N = args.N, D = args.H * N;
  fetch_vectors(D, args.k_k, args.a0, args.w0, args.k_a, args.v0);
  wait_for_previous();
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
    // Read before anything is written, so that all are asked for before the first is waited for.
    const Index i = at + n, d = d0 + n;
    const float k = args.k[i], a = args.a[i], w = args.w[i], k_k = args.k_k[d], a0 = args.a0[d], w0 = args.w0[d], k_a = args.k_a[d];
    const bool mixes = args.v_mix != nullptr;
    const float v = mixes ? args.v[i] : 0, v_first = mixes ? args.v_first[i] : 0, v0 = mixes ? args.v0[d] : 0, v_mix = mixes ? args.v_mix[i] : 0;
    const float rate = sigmoid(a0 + a), removal = k * k_k / norm;
    args.w[i] = expf(-kDecayScale * sigmoid(w0 + w));
    args.a[i] = -removal;
    args.b[i] = removal * rate;
    args.k[i] = k * fmaf(rate - 1.0f, k_a, 1.0f);
    if (mixes) args.v[i] = fmaf(v_first - v, sigmoid(v0 + v_mix), v);
  }
}

template <class To>
__global__ void __launch_bounds__(kGroupThreads) wkv7_readout_kernel(Wkv7ReadoutArgs args, To* out) {
  const Index head = own_head(), N = args.N, D = args.H * N;
  fetch_vectors(D, args.r_k, args.weight, args.bias);
  wait_for_previous();
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
