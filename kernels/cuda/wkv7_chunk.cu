// WKV-7 in chunks, one kernel for a whole segment: the state stays in registers from chunk to chunk.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wkv7_chunk.cuh"

namespace riverrun::kernels::cuda {

namespace {

// The state of 16 value rows of a head through a chunk that is ready. `y`: the chunk's first token, at the
// first of the rows.
template <int N, Tf32 kind>
__device__ __forceinline__ void read_and_write(StateRows<N>& S, const Wkv7Chunk<N, kind>& chunk, int row0,
                                               float* y, Index D, int tokens) {
  constexpr int kRow = chunk.kRow, kGramRow = chunk.kGramRow;
  ValuesByTokens u, out;
  S.template for_each_left<kind>(chunk.middle, [&](int j, const Left<kind>& state) {
    u.add_keys(state, chunk.operands[kA][0], kRow, j);
    out.add_keys(state, chunk.operands[kR][0], kRow, j);
  });
  const Left<kind> v[2] = {left_columns<kind>(chunk.operands[kV][0], kRow, 0, row0),
                           left_columns<kind>(chunk.operands[kV][0], kRow, 8, row0)};
  u.add(v, chunk.within.grams[kMak][0], kGramRow);
  out.add(v, chunk.within.grams[kMrk][0], kGramRow);
  const Left<kind> right_side[2] = {left_of<kind>(u.tile[0]), left_of<kind>(u.tile[1])};
  ValuesByTokens solved;
  solved.add(right_side, chunk.within.inverse[0], kGramRow);
  const Left<kind> removed[2] = {left_of<kind>(solved.tile[0]), left_of<kind>(solved.tile[1])};
  out.add(removed, chunk.within.grams[kMrb][0], kGramRow);
  out.write(y, D, tokens);
  S.update(chunk.decay, [&](int j, float(&added)[4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      multiply(added, removed[half], right_columns<kind>(chunk.operands[kB][0], kRow, 8 * half, 8 * j));
      multiply(added, v[half], right_columns<kind>(chunk.operands[kK][0], kRow, 8 * half, 8 * j));
    }
    const auto by = *reinterpret_cast<const float2*>(chunk.rest + 8 * j + threadIdx.x % 4 * 2);
    added[0] *= by.x, added[1] *= by.y, added[2] *= by.x, added[3] *= by.y;
  });
}

// blockIdx.x: a head of the range, blockIdx.y: a segment.
template <int N, Tf32 kind>
__global__ void __launch_bounds__(Wkv7Chunk<N, kind>::kThreads)
    wkv7_chunk_kernel(const __grid_constant__ ChunkParameters args,
                      const __grid_constant__ SegmentTable segments) {
  auto* const chunks = launch_shared<Wkv7Chunk<N, kind>>();  // this one and the next
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Index D = args.D, column = (args.first_head + blockIdx.x) * N;
  const int thread = static_cast<int>(threadIdx.x), row0 = 16 * (thread / kWarp);
  const Index state_at = (Index{blockIdx.x} * N + row0) * N;
  const auto tokens_from = [&](Index first) {
    return static_cast<int>(segment.end - first < kC ? segment.end - first : kC);
  };

  StateRows<N> S;
  S.load(segment.in == nullptr ? nullptr : segment.in + state_at);
  int turn = 0;
  chunks[0].fetch(args, segment.begin * D + column, tokens_from(segment.begin), thread);
  for (Index first = segment.begin; first < segment.end; first += kC, turn ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // the chunk is there, and all are done with the one before
    auto& chunk = chunks[turn];
    if (first + kC < segment.end) {
      chunks[turn ^ 1].fetch(args, (first + kC) * D + column, tokens_from(first + kC), thread);
    }
    chunk.take_logarithms(thread);
    __syncthreads();
    chunk.scale(thread);
    __syncthreads();
    chunk.multiply_rows(thread);
    __syncthreads();
    if (thread < kWarp) chunk.invert(thread);
    __syncthreads();
    read_and_write(S, chunk, row0, args.y + first * D + column + row0, D, tokens_from(first));
  }
  if (segment.out != nullptr) S.store(segment.out + state_at);
}

template <int N, Tf32 kind>
void launch_chunks(const ChunkParameters& parameters, const SegmentTable& segments, Index heads,
                   Stream stream) {
  using Chunk = Wkv7Chunk<N, kind>;
  launch(wkv7_chunk_kernel<N, kind>,
         dim3(static_cast<unsigned>(heads), static_cast<unsigned>(segments.count)), Chunk::kThreads,
         2 * sizeof(Chunk), stream, parameters, segments);
}

}  // namespace

void wkv7_chunks(const Wkv7Args& args, const SegmentTable& segments, Stream stream) {
  RR_CHECK(whole_fours(args.N, args.r, args.w, args.k, args.a, args.b, args.v),
           "operands that are not aligned");
  for (int s = 0; s < segments.count; ++s) {
    RR_CHECK(whole_fours(args.N, segments.entries[s].in, segments.entries[s].out),
             "states that are not aligned");
  }
  RR_CHECK(has_wkv7_chunks(args.N), "chunks of heads of ", args.N);
  const ChunkParameters parameters = {.D = args.H * args.N,
                                      .first_head = args.first_head,
                                      .operands = {args.a, args.r, args.b, args.k, args.v},
                                      .w = args.w,
                                      .y = args.y};
  with_tf32(args.operand, [&](auto kind) {
    if (args.N == 32) return launch_chunks<32, kind()>(parameters, segments, args.heads, stream);
    launch_chunks<64, kind()>(parameters, segments, args.heads, stream);
  });
}

}  // namespace riverrun::kernels::cuda
