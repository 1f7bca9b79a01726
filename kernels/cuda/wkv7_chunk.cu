// WKV-7 in chunks, one kernel for a whole segment: the state stays in registers from chunk to chunk.
//
// A warp holds 16 value rows of the state as the result of tensor-core products, values by keys; what it
// multiplies with it is then the left operand where it is, and u and y come out transposed, values by tokens.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wkv7_chunk.cuh"

namespace riverrun::kernels::cuda {

namespace {

struct ChunkParameters {
  Index D, first_head;
  const float *operands[kOperands], *v;
  float* y;
};

// [16 values, 16 tokens] as two tiles.
struct ValuesByTokens {
  float tile[2][4] = {};

  // += left^T grams^T, left being [kC, values]; `left` holds its two halves.
  __device__ __forceinline__ void add(const SplitLeft (&left)[2], const float* gram, int stride) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        multiply_split(tile[i], left[half], right_rows(gram, stride, 8 * i, 8 * half));
    }
  }
};

// The state of 16 value rows.
template <int N>
struct StateRows {
  float tile[N / 8][4];

  // `rows`: the first of the warp's value rows, or null.
  __device__ __forceinline__ void load(const float* rows) {
    each_pair([&](int row, int key, float& first, float& second) {
      const float2 two =
          rows == nullptr ? float2{0, 0} : *reinterpret_cast<const float2*>(rows + row * N + key);
      first = two.x, second = two.y;
    });
  }
  __device__ __forceinline__ void store(float* rows) {
    each_pair([&](int row, int key, float& first, float& second) {
      *reinterpret_cast<float2*>(rows + row * N + key) = {first, second};
    });
  }

  // S' = S diag(decay) + u^T b + v^T k. What is added is summed by itself: the tensor cores may round sums
  // towards zero, which in a state of long memory would be a decay of its own.
  __device__ __forceinline__ void update(const Wkv7Chunk<N>& chunk, const SplitLeft (&u)[2],
                                         const SplitLeft (&v)[2]) {
    const int pair = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < N / 8; ++j) {
      float added[4] = {};
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        multiply_split(added, u[half], right_columns(chunk.b_out[0], chunk.kAlongColumns, 8 * half, 8 * j));
        multiply_split(added, v[half], right_columns(chunk.k_out[0], chunk.kAlongColumns, 8 * half, 8 * j));
      }
#pragma unroll
      for (int i = 0; i < 4; ++i)
        tile[j][i] = fmaf(tile[j][i], chunk.decay[8 * j + 2 * pair + i % 2], added[i]);
    }
  }

 private:
  template <class Function>
  __device__ __forceinline__ void each_pair(Function&& f) {
    const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
#pragma unroll
    for (int j = 0; j < N / 8; ++j) {
      f(group, 8 * j + 2 * pair, tile[j][0], tile[j][1]);
      f(group + 8, 8 * j + 2 * pair, tile[j][2], tile[j][3]);
    }
  }
};

// What the state before the chunk gives, A S^T to u and R S^T to y, transposed.
template <int N>
__device__ __forceinline__ void read_state(const StateRows<N>& S, const Wkv7Chunk<N>& chunk,
                                           ValuesByTokens& u, ValuesByTokens& y) {
#pragma unroll
  for (int j = 0; j < N / 8; ++j) {
    const SplitLeft state = left_of(S.tile[j]);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      multiply_split(u.tile[i], state, right_rows(chunk.a_in[0], chunk.kAlongRows, 8 * i, 8 * j));
      multiply_split(y.tile[i], state, right_rows(chunk.r_in[0], chunk.kAlongRows, 8 * i, 8 * j));
    }
  }
}

// `y`: the first token's row at the warp's first value row.
__device__ __forceinline__ void write_rows(const ValuesByTokens& from, float* y, Index D, int tokens) {
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const int t = 8 * i + 2 * pair + c % 2, row = group + c / 2 * 8;
      if (t < tokens) y[t * D + row] = from.tile[i][c];
    }
  }
}

// blockIdx.x: a head of the range, blockIdx.y: a segment.
template <int N>
__global__ void __launch_bounds__(Wkv7Chunk<N>::kThreads)
    wkv7_chunk_kernel(const __grid_constant__ ChunkParameters args,
                      const __grid_constant__ SegmentTable segments) {
  using Chunk = Wkv7Chunk<N>;
  auto& chunk = *launch_shared<Chunk>();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Index D = args.D, column = (args.first_head + blockIdx.x) * N;
  const int warp = threadIdx.x / kWarp, row0 = 16 * warp;
  const Index state_at = (Index{blockIdx.x} * N + row0) * N;
  const auto tokens_from = [&](Index first) {
    return static_cast<int>(segment.end - first < kC ? segment.end - first : kC);
  };

  StateRows<N> S;
  S.load(segment.in == nullptr ? nullptr : segment.in + state_at);
  int turn = 0;
  Chunk::fetch(chunk.incoming[0], args.operands, args.v, column, segment.begin, tokens_from(segment.begin),
               D);
  for (Index first = segment.begin; first < segment.end; first += kC, turn ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // the chunk is there, and all are done with the one before
    const auto& incoming = chunk.incoming[turn];
    if (first + kC < segment.end) {
      Chunk::fetch(chunk.incoming[turn ^ 1], args.operands, args.v, column, first + kC,
                   tokens_from(first + kC), D);
    }
    chunk.scale(incoming);
    __syncthreads();
    chunk.multiply_rows();
    __syncthreads();
    if (warp == 0) chunk.invert();
    ValuesByTokens u, y;
    read_state(S, chunk, u, y);
    const SplitLeft v[2] = {left_columns(incoming.v[0], Chunk::kAlongColumns, 0, row0),
                            left_columns(incoming.v[0], Chunk::kAlongColumns, 8, row0)};
    u.add(v, chunk.grams[kMak][0], Chunk::kGramRow);
    y.add(v, chunk.grams[kMrk][0], Chunk::kGramRow);
    __syncthreads();  // the inverse
    ValuesByTokens solved;
    solved.add({left_of(u.tile[0]), left_of(u.tile[1])}, chunk.inverse[0], Chunk::kGramRow);
    const SplitLeft removed[2] = {left_of(solved.tile[0]), left_of(solved.tile[1])};
    y.add(removed, chunk.grams[kMrb][0], Chunk::kGramRow);
    write_rows(y, args.y + first * D + column + row0, D, tokens_from(first));
    S.update(chunk, removed, v);
  }
  if (segment.out != nullptr) S.store(segment.out + state_at);
}

template <int N>
void launch_chunks(const ChunkParameters& parameters, const SegmentTable& segments, Index heads,
                   Stream stream) {
  launch(wkv7_chunk_kernel<N>, dim3(static_cast<unsigned>(heads), static_cast<unsigned>(segments.count)),
         Wkv7Chunk<N>::kThreads, sizeof(Wkv7Chunk<N>), stream, parameters, segments);
}

}  // namespace

void wkv7_chunks(const Wkv7Args& args, const SegmentTable& segments, Stream stream) {
  RR_CHECK(whole_fours(args.N, args.r, args.w, args.k, args.a, args.b, args.v),
           "operands that are not aligned");
  for (int s = 0; s < segments.count; ++s) {
    RR_CHECK(whole_fours(args.N, segments.entries[s].in, segments.entries[s].out),
             "states that are not aligned");
  }
  const ChunkParameters parameters = {.D = args.H * args.N,
                                      .first_head = args.first_head,
                                      .operands = {args.r, args.w, args.k, args.a, args.b},
                                      .v = args.v,
                                      .y = args.y};
  if (args.N == 32) return launch_chunks<32>(parameters, segments, args.heads, stream);
  RR_CHECK(args.N == 64, "chunks of heads of ", args.N);
  launch_chunks<64>(parameters, segments, args.heads, stream);
}

}  // namespace riverrun::kernels::cuda
