#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

template <bool kWhole, class To>
__global__ void gate_kernel(GateArgs args, To* out) {
  wait_for_previous();
  const Index at = own_column(), row = blockIdx.x * args.D;
  if (at >= args.D) return;
  float4 b = load_four<kWhole>(args.b + row, at, args.D);
  if (args.bias != nullptr) b = b + load_four<kWhole>(args.bias, at, args.D);
  store_four<kWhole>(out + row, at, args.D, load_four<kWhole>(args.a + row, at, args.D) * b);
}

template <bool kWhole>
__global__ void gate_add_kernel(GateAddArgs args) {
  wait_for_previous();
  const Index at = own_column(), row = blockIdx.x * args.D;
  if (at >= args.D) return;
  const float4 x = load_four<kWhole>(args.x + row, at, args.D);
  store_four<kWhole>(
      args.x + row, at, args.D,
      fma_four(load_four<kWhole>(args.a + row, at, args.D), load_four<kWhole>(args.b + row, at, args.D), x));
}

// A thread per column of a row's result.
template <class To>
__global__ void token_matrix_kernel(TokenMatrixArgs args, To* out) {
  wait_for_previous();
  const Index R = args.R, m = blockIdx.x, j = Index{blockIdx.y} * blockDim.x + threadIdx.x;
  if (j >= R) return;
  const float* E = args.E + m * R * R + j;
  float sum = 0;
  for (Index i = 0; i < R; ++i) sum = fmaf(args.q[m * R + i], E[i * R], sum);
  out[m * R + j] = narrow<To>(sum);
}

}  // namespace

void gate(const GateArgs& args, Stream stream) {
  with_type(args.out, args.out_type, [&]<class To>(To* out) {
    with_flag(whole_fours(args.D, args.a, args.b, args.bias, out), [&](auto whole) {
      launch(gate_kernel<whole.value, To>, blocks_of_columns(args.M, args.D), threads_for(args.D), 0, stream,
             args, out);
    });
  });
}

void gate_add(const GateAddArgs& args, Stream stream) {
  with_flag(whole_fours(args.D, args.a, args.b, args.x), [&](auto whole) {
    launch(gate_add_kernel<whole.value>, blocks_of_columns(args.M, args.D), threads_for(args.D), 0, stream,
           args);
  });
}

void token_matrix(const TokenMatrixArgs& args, Stream stream) {
  constexpr unsigned kThreads = 32;
  with_type(args.out, args.out_type, [&]<class To>(To* out) {
    const dim3 blocks(static_cast<unsigned>(args.M), blocks_for(args.R, kThreads));
    launch(token_matrix_kernel<To>, blocks, kThreads, 0, stream, args, out);
  });
}

}  // namespace riverrun::kernels::cuda
