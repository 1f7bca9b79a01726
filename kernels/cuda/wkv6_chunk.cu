// WKV-6 in chunks, one kernel for a whole segment (docs/wkv.md, "WKV-6"): a block has a head, 16 value rows
// per warp.
//
// w has no lower bound and may be 0, so that decays are products of factors over the tokens that they span,
// and the weights within a chunk are no matrix product.
#include "kernels/cuda/chunk_state.cuh"
#include "kernels/cuda/copy_async.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wkv6_chunk.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr int kC = kChunkTokens;
enum Operand { kR, kW, kK, kOperands };

struct ChunkParameters {
  Index D, first_head;
  const float* operands[kOperands];
  Index strides[kOperands];
  const float *v, *u;
  float* y;
};

template <int N, Tf32 kind>
struct Chunk {
  static constexpr int kWarps = N / 16, kThreads = kWarps * kWarp;
  static constexpr int kRow = N + kPadding, kWeightsRow = kC + 8;

  struct Incoming {
    float operands[kOperands][kC][kRow];
    float v[kC][kRow];             // rows at place_of(t)
  } incoming[2];                   // this chunk and the next
  float r_in[kC][kRow];            // r_t w_0 ... w_{t-1}
  float k_out[kC][kRow];           // k_t w_{t+1} ... w_{C-1}, rows at place_of(t)
  float decay[N];                  // w_0 ... w_{C-1}
  float weights[kC][kWeightsRow];  // [t][s]: sum_n r_t k_s w_{s+1} ... w_{t-1}; diagonal: sum_n r_t u k_t

  // Starts to fetch the chunk that begins with row `first`, of the head whose first channel is `head_column`.
  // Rows that are not there neither decay nor write.
  __device__ __forceinline__ static void fetch(Incoming& to, const ChunkParameters& args, Index head_column,
                                               Index first, int tokens) {
    constexpr int kFours = N / 4;
    for (int at = static_cast<int>(threadIdx.x); at < (kOperands + 1) * kC * kFours; at += kThreads) {
      const int column = at % kFours * 4, t = at / kFours % kC, operand = at / (kFours * kC);
      const bool is_v = operand == kOperands;
      float* const there = is_v ? &to.v[place_of(t)][column] : &to.operands[operand][t][column];
      const float* const source = is_v ? args.v : args.operands[operand];
      if (t < tokens) {
        copy_16_async(there,
                      source + (first + t) * (is_v ? args.D : args.strides[operand]) + head_column + column);
      } else {
        *reinterpret_cast<float4*>(there) = all_four(operand == kW ? 1.0f : 0.0f);
      }
    }
    commit_copies();
  }

  // Half of the threads go forward through the tokens, half backward, each with a channel of its own.
  __device__ __forceinline__ void scale(const Incoming& from) {
    const int n = static_cast<int>(threadIdx.x) % N;
    LongProduct product;
    if (threadIdx.x < N) {
#pragma unroll
      for (int t = 0; t < kC; ++t) {
        r_in[t][n] = as_kept<kind>(from.operands[kR][t][n] * product.value());
        product.multiply(from.operands[kW][t][n]);
      }
    } else {
#pragma unroll
      for (int t = kC - 1; t >= 0; --t) {
        k_out[place_of(t)][n] = as_kept<kind>(from.operands[kK][t][n] * product.value());
        product.multiply(from.operands[kW][t][n]);
      }
      decay[n] = product.value();
    }
  }

  // A few lanes have a token t and go back from it, each with the decays of its channels. All warps keep
  // step.
  __device__ __forceinline__ void weigh(const Incoming& from, const float* bonus) {
    constexpr int kLanes = kThreads / kC, kChannels = N / kLanes;
    const int t = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes;
    float r[kChannels], between[kChannels], sum = 0;
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
      const int n = lane + kLanes * i;
      r[i] = from.operands[kR][t][n], between[i] = 1;
      sum = fmaf(r[i] * bonus[n], from.operands[kK][t][n], sum);
    }
    sum = sum_over_lanes<kLanes>(sum);
    if (lane == 0) weights[t][t] = as_kept<kind>(sum);
    for (int s = t + 1 + lane; s < kC; s += kLanes) weights[t][s] = 0;
    for (int back = 1; back < kC; ++back) {
      const int s = t - back;
      sum = 0;
#pragma unroll
      for (int i = 0; i < kChannels; ++i) {
        if (s < 0) break;
        const int n = lane + kLanes * i;
        sum = fmaf(r[i] * between[i], from.operands[kK][s][n], sum);
        between[i] *= from.operands[kW][s][n];
      }
      sum = sum_over_lanes<kLanes>(sum);
      if (lane == 0 && s >= 0) weights[t][s] = as_kept<kind>(sum);
    }
  }
};

// blockIdx.x: a head of the range, blockIdx.y: a segment.
template <int N, Tf32 kind>
__global__ void __launch_bounds__(Chunk<N, kind>::kThreads, 2)
    wkv6_chunk_kernel(const __grid_constant__ ChunkParameters args,
                      const __grid_constant__ SegmentTable segments) {
  wait_for_previous_alone();
  using Chunk = Chunk<N, kind>;
  auto& chunk = *launch_shared<Chunk>();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Index D = args.D, column = (args.first_head + blockIdx.x) * N;
  const int row0 = 16 * static_cast<int>(threadIdx.x / kWarp);
  const Index state_at = (Index{blockIdx.x} * N + row0) * N;
  const auto tokens_from = [&](Index first) {
    return static_cast<int>(segment.end - first < kC ? segment.end - first : kC);
  };

  StateRows<N> S;
  S.load(segment.in == nullptr ? nullptr : segment.in + state_at);
  int turn = 0;
  Chunk::fetch(chunk.incoming[0], args, column, segment.begin, tokens_from(segment.begin));
  for (Index first = segment.begin; first < segment.end; first += kC, turn ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // the chunk is there, and all are done with the one before
    const auto& incoming = chunk.incoming[turn];
    if (first + kC < segment.end) {
      Chunk::fetch(chunk.incoming[turn ^ 1], args, column, first + kC, tokens_from(first + kC));
    }
    chunk.scale(incoming);
    chunk.weigh(incoming, args.u + column);
    __syncthreads();
    ValuesByTokens y;
    S.template for_each_left<kind>(
        [&](int j, const Left<kind>& state) { y.add_keys(state, chunk.r_in[0], Chunk::kRow, j); });
    const Left<kind> v[2] = {left_columns<kind>(incoming.v[0], Chunk::kRow, 0, row0),
                             left_columns<kind>(incoming.v[0], Chunk::kRow, 8, row0)};
    y.add(v, chunk.weights[0], Chunk::kWeightsRow);
    y.write(args.y + first * D + column + row0, D, tokens_from(first));
    S.update(chunk.decay, [&](int j, float(&added)[4]) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        multiply(added, v[half], right_columns<kind>(chunk.k_out[0], Chunk::kRow, 8 * half, 8 * j));
      }
    });
  }
  if (segment.out != nullptr) S.store(segment.out + state_at);
}

template <int N, Tf32 kind>
void launch_chunks(const ChunkParameters& parameters, const SegmentTable& segments, Index heads,
                   Stream stream) {
  launch(wkv6_chunk_kernel<N, kind>, dim3(static_cast<unsigned>(heads), static_cast<unsigned>(segments.count)),
         Chunk<N, kind>::kThreads, sizeof(Chunk<N, kind>), stream, parameters, segments);
}

}  // namespace

void wkv6_chunks(const Wkv6Args& args, const SegmentTable& segments, Stream stream) {
  RR_CHECK(whole_fours(args.N, args.r, args.w, args.k, args.v), "operands that are not aligned");
  for (int s = 0; s < segments.count; ++s) {
    RR_CHECK(whole_fours(args.N, segments.entries[s].in, segments.entries[s].out),
             "states that are not aligned");
  }
  const Index D = args.H * args.N;
  const ChunkParameters parameters = {.D = D,
                                      .first_head = args.first_head,
                                      .operands = {args.r, args.w, args.k},
                                      .strides = {D, args.w_stride, D},
                                      .v = args.v,
                                      .u = args.u,
                                      .y = args.y};
  RR_CHECK(has_wkv6_chunks(args.N), "chunks of heads of ", args.N);
  with_tf32(args.operand, [&](auto kind) {
    if (args.N == 32) return launch_chunks<32, kind()>(parameters, segments, args.heads, stream);
    launch_chunks<64, kind()>(parameters, segments, args.heads, stream);
  });
}

}  // namespace riverrun::kernels::cuda
