// WKV-7 in chunks, one kernel for a whole segment: the state stays in registers from chunk to chunk.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wkv7_chunk.cuh"

namespace riverrun::kernels::cuda {

namespace {

struct ChunkParameters {
  Index D, first_head;
  const float *operands[kOperands], *v;
  float* y;
};

// What is added in a chunk: u^T b + v^T k.
template <int N>
__device__ __forceinline__ void update(StateRows<N>& S, const Wkv7Chunk<N>& chunk, const SplitLeft (&u)[2],
                                       const SplitLeft (&v)[2]) {
  S.update(chunk.decay, [&](int j, float(&added)[4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      multiply_split(added, u[half], right_columns(chunk.b_out[0], chunk.kAlongColumns, 8 * half, 8 * j));
      multiply_split(added, v[half], right_columns(chunk.k_out[0], chunk.kAlongColumns, 8 * half, 8 * j));
    }
  });
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
    __syncwarp();  // half of its lanes return early, and the products below take whole warps
    ValuesByTokens u, y;
    S.for_each_left([&](int j, const SplitLeft& state) {
      u.add_keys(state, chunk.a_in[0], Chunk::kAlongRows, j);
      y.add_keys(state, chunk.r_in[0], Chunk::kAlongRows, j);
    });
    const SplitLeft v[2] = {left_columns(incoming.v[0], Chunk::kAlongColumns, 0, row0),
                            left_columns(incoming.v[0], Chunk::kAlongColumns, 8, row0)};
    u.add(v, chunk.grams[kMak][0], Chunk::kGramRow);
    y.add(v, chunk.grams[kMrk][0], Chunk::kGramRow);
    __syncthreads();  // the inverse
    ValuesByTokens solved;
    solved.add({left_of(u.tile[0]), left_of(u.tile[1])}, chunk.inverse[0], Chunk::kGramRow);
    const SplitLeft removed[2] = {left_of(solved.tile[0]), left_of(solved.tile[1])};
    y.add(removed, chunk.grams[kMrb][0], Chunk::kGramRow);
    y.write(args.y + first * D + column + row0, D, tokens_from(first));
    update(S, chunk, removed, v);
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
