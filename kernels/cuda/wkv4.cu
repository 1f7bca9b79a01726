// WKV-4 token by token: a thread per channel and segment, its three numbers in registers. Channels never
// meet, so that neither a cut in time nor a split of the channels changes a bit. Of the two weights of a mean
// one is always 1 and the other e^-|difference|: two exponentials a token instead of four.
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/segments.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr unsigned kThreads = 32;  // a warp: channels are few, and each takes its time
constexpr int kTokensAhead = 8;    // tokens that are read while the ones before them are computed

struct Wkv4Parameters {
  Index D, first_channel, channels;
  const float *k, *v, *w, *u;
  float* y;
};

struct Weights {
  float past, present;
};

// Of a past and a present whose exponents differ by `lead`, divided by the larger. A NaN becomes the past's.
__device__ __forceinline__ Weights weigh(float lead) {
  const float smaller = expf(-fabsf(lead));
  return lead < 0 ? Weights{smaller, 1.0f} : Weights{1.0f, smaller};
}

struct Wkv4State {
  float a, b, p;

  // One token; returns y. p - k first: where both weights count it is small, and what is added to it keeps
  // its digits.
  __device__ __forceinline__ float step(float k, float v, float w, float u) {
    const float lead = p - k, decayed = lead + w;
    const Weights read = weigh(lead - u), keep = weigh(decayed);
    const float y = fmaf(read.past, a, read.present * v) / fmaf(read.past, b, read.present);
    a = fmaf(keep.past, a, keep.present * v);
    b = fmaf(keep.past, b, keep.present);
    p = decayed < 0 ? k : p + w;
    return y;
  }
};

// blockIdx.x: a warp of channels, blockIdx.y: a segment.
__global__ void __launch_bounds__(kThreads)
    wkv4_kernel(const __grid_constant__ Wkv4Parameters args, const __grid_constant__ SegmentTable segments) {
  wait_for_previous();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Index c = Index{blockIdx.x} * kThreads + threadIdx.x, d = args.first_channel + c;
  if (c >= args.channels) return;
  Wkv4State state = {0, 0, kWkv4NoPast};
  if (segment.in != nullptr) state = {segment.in[3 * c], segment.in[3 * c + 1], segment.in[3 * c + 2]};
  const float w = args.w[d], u = args.u[d];
  Index t = segment.begin;
  for (; t + kTokensAhead <= segment.end; t += kTokensAhead) {
    float k[kTokensAhead], v[kTokensAhead];
#pragma unroll
    for (int i = 0; i < kTokensAhead; ++i)
      k[i] = args.k[(t + i) * args.D + d], v[i] = args.v[(t + i) * args.D + d];
#pragma unroll
    for (int i = 0; i < kTokensAhead; ++i) args.y[(t + i) * args.D + d] = state.step(k[i], v[i], w, u);
  }
  for (; t < segment.end; ++t)
    args.y[t * args.D + d] = state.step(args.k[t * args.D + d], args.v[t * args.D + d], w, u);
  if (segment.out == nullptr) return;
  segment.out[3 * c] = state.a, segment.out[3 * c + 1] = state.b, segment.out[3 * c + 2] = state.p;
}

}  // namespace

void wkv4(const Wkv4Args& args, Stream stream) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_channel >= 0 && args.channels >= 0 && args.first_channel + args.channels <= args.D,
           "channels ", args.first_channel, " + ", args.channels, " of ", args.D);
  const Wkv4Parameters parameters = {
      args.D, args.first_channel, args.channels, args.k, args.v, args.w, args.u, args.y};
  for_segment_groups(
      args.segment_count, args.segments, args.state_in, args.state_out, [&](const SegmentTable& group) {
        const dim3 blocks(blocks_for(args.channels, kThreads), static_cast<unsigned>(group.count));
        launch(wkv4_kernel, blocks, kThreads, 0, stream, parameters, group);
      });
}

}  // namespace riverrun::kernels::cuda
