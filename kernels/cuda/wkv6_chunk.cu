// WKV-6 in chunks and groups of chunks (docs/wkv.md, "WKV-6"): a block has a head, 16 value rows per warp, and goes through a segment, or
// through one of its groups.
//
// A group of chunks is to the state what a chunk is: from S in front of it comes S diag(decay) + L behind it, and neither its decay nor L,
// which is what it leaves in an empty state, knows S. So groups can be taken at the same time:
//   1. group_kernel: decay and L of every group but the last
//   2. chain_kernel: the states in front of all groups
//   3. chunk_kernel: y of every group, and the state behind the last
// One block that goes through all groups computes the same numbers, in the same way: which of the two it is changes no bit.
//
// Until y is written, its rows keep what a group has: L, and then the state in front of it, as rows of values from the group's first token
// on, and its decay behind them. Each kernel waits for the one before it, and of the last one only the block that writes these rows reads
// them.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wkv6_chunk.cuh"
#include "kernels/cuda/wkv6_chunk.h"

namespace riverrun::kernels::cuda {

namespace {

using wkv6::ChunkParameters;
using wkv6::kC;
using wkv6::Part;

constexpr Index kGroup = kWkv6Group;
static_assert(kGroup % kC == 0 && kGroup > 64, "rows of y for a state and a decay");

// Tokens [first, end) of a segment.
struct Range {
  Index first, end;
  __device__ __forceinline__ int tokens_of_chunk(Index at) const { return static_cast<int>(end - at < kC ? end - at : kC); }
};

__device__ __forceinline__ Index groups_of(const SegmentTable::Entry& segment) { return segment.rows() / kGroup; }

// Calls body(first token, chunk) for one chunk after the other, when it is scaled. All threads keep step.
template <Part part, int N, Tf32 kind, class Body>
__device__ __forceinline__ void for_each_chunk(wkv6::Chunk<N, kind>& chunk, const ChunkParameters& args, Index column, Range range,
                                               Body&& body) {
  using Chunk = wkv6::Chunk<N, kind>;
  LongProduct group;
  int turn = 0;
  Chunk::template fetch<part>(chunk.incoming[0], args, column, range.first, range.tokens_of_chunk(range.first));
  for (Index first = range.first; first < range.end; first += kC, turn ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // the chunk is there, and all are done with the one before
    const auto& incoming = chunk.incoming[turn];
    if (const Index next = first + kC; next < range.end) {
      Chunk::template fetch<part>(chunk.incoming[turn ^ 1], args, column, next, range.tokens_of_chunk(next));
    }
    const bool ends_group = (first + kC - range.first) % kGroup == 0 && first + kC <= range.end;
    chunk.template scale<part>(incoming, ends_group, group);
    if constexpr (part == Part::all) chunk.weigh(incoming, args.u + column);
    __syncthreads();
    body(first, incoming, ends_group);
  }
}

// added(j, sums): V^T K, what a chunk adds to tile j of the state.
template <int N, Tf32 kind>
__device__ __forceinline__ auto addition(const wkv6::Chunk<N, kind>& chunk, const Left<kind> (&v)[2]) {
  return [&](int j, float(&added)[4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      multiply(added, v[half], right_columns<kind>(chunk.k_out[0], wkv6::Chunk<N, kind>::kRow, 8 * half, 8 * j));
    }
  };
}

// blockIdx: a head of the range, a segment, one of its groups that is not the last.
template <int N, Tf32 kind>
__global__ void __launch_bounds__(wkv6::Chunk<N, kind>::kThreads, 2)
    group_kernel(const __grid_constant__ ChunkParameters args, const __grid_constant__ SegmentTable segments) {
  wait_for_previous_alone();
  auto& chunk = *launch_shared<wkv6::Chunk<N, kind>>();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  if (Index{blockIdx.z} + 1 >= groups_of(segment)) return;
  const Index column = (args.first_head + blockIdx.x) * N, begin = segment.begin + blockIdx.z * kGroup;
  const int row0 = 16 * static_cast<int>(threadIdx.x / kWarp);
  StateRows<N> L = {};
  for_each_chunk<Part::state>(chunk, args, column, Range{begin, begin + kGroup}, [&](Index, const auto& incoming, bool) {
    const Left<kind> v[2] = {left_columns<kind>(incoming.v[0], chunk.kRow, 0, row0), left_columns<kind>(incoming.v[0], chunk.kRow, 8, row0)};
    L.update(chunk.decay, addition(chunk, v));
  });
  float* const kept = args.y + begin * args.D + column;
  L.store(kept + row0 * args.D, args.D);
  if (threadIdx.x < N) kept[N * args.D + threadIdx.x] = chunk.group_decay[threadIdx.x];
}

constexpr int kChainThreads = 128;
constexpr Index kGroupsAhead = 4;  // read at once: what is computed waits for what is before it, what is read need not

// blockIdx.x: a head of the range and some of its state, four keys to a thread; blockIdx.y: a segment.
template <int N>
__global__ void __launch_bounds__(kChainThreads)
    chain_kernel(const __grid_constant__ ChunkParameters args, const __grid_constant__ SegmentTable segments) {
  wait_for_previous_alone();
  constexpr int kBlocks = N * N / 4 / kChainThreads;
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Index groups = groups_of(segment);
  if (groups < 2) return;
  const Index head = blockIdx.x / kBlocks;
  const int four = static_cast<int>(blockIdx.x % kBlocks * kChainThreads + threadIdx.x), value = four / (N / 4), key = four % (N / 4) * 4;
  float4 S = all_four(0.0f);
  if (segment.in != nullptr) S = *reinterpret_cast<const float4*>(segment.in + (head * N + value) * N + key);
  const auto kept = [&](Index group, int row) -> float4& {
    return *reinterpret_cast<float4*>(args.y + (segment.begin + group * kGroup + row) * args.D + (args.first_head + head) * N + key);
  };
  for (Index from = 0; from + 1 < groups; from += kGroupsAhead) {
    float4 L[kGroupsAhead], decay[kGroupsAhead];
#pragma unroll
    for (Index i = 0; i < kGroupsAhead; ++i) {
      if (from + i + 1 < groups) L[i] = kept(from + i, value), decay[i] = kept(from + i, N);
    }
#pragma unroll
    for (Index i = 0; i < kGroupsAhead; ++i) {
      if (from + i + 1 < groups) kept(from + i, value) = S, S = fma_four(S, decay[i], L[i]);
    }
  }
  kept(groups - 1, value) = S;
}

// blockIdx: a head of the range, a segment, and one of its groups where there are several in z, the last one with the tokens behind it;
// otherwise all.
template <int N, Tf32 kind>
__global__ void __launch_bounds__(wkv6::Chunk<N, kind>::kThreads, 2)
    chunk_kernel(const __grid_constant__ ChunkParameters args, const __grid_constant__ SegmentTable segments) {
  wait_for_previous_alone();
  auto& chunk = *launch_shared<wkv6::Chunk<N, kind>>();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Index D = args.D, column = (args.first_head + blockIdx.x) * N, group = blockIdx.z, groups = gridDim.z > 1 ? groups_of(segment) : 0;
  const int row0 = 16 * static_cast<int>(threadIdx.x / kWarp);
  const Index state_at = (Index{blockIdx.x} * N + row0) * N;
  const bool in_groups = groups > 1, last = !in_groups || group + 1 == groups;
  if (group > 0 && (!in_groups || group >= groups)) return;
  const Index begin = segment.begin + group * kGroup;

  StateRows<N> S, before, L = {};
  if (in_groups) S.load(args.y + (begin + row0) * D + column, D);
  else S.load(segment.in == nullptr ? nullptr : segment.in + state_at);
  before = S;
  const Range range = {begin, last ? segment.end : begin + kGroup};
  for_each_chunk<Part::all>(chunk, args, column, range, [&](Index first, const auto& incoming, bool ends_group) {
    ValuesByTokens y;
    S.template for_each_left<kind>([&](int j, const Left<kind>& state) { y.add_keys(state, chunk.r_in[0], chunk.kRow, j); });
    const Left<kind> v[2] = {left_columns<kind>(incoming.v[0], chunk.kRow, 0, row0), left_columns<kind>(incoming.v[0], chunk.kRow, 8, row0)};
    y.add(v, chunk.weights[0], chunk.kWeightsRow);
    y.write(args.y + first * D + column + row0, D, range.tokens_of_chunk(first));
    S.update(chunk.decay, addition(chunk, v), L);
    if (!ends_group) return;
    before.join(chunk.group_decay, L);
    S = before, L = {};
  });
  if (last && segment.out != nullptr) S.store(segment.out + state_at);
}

template <int N, Tf32 kind>
void launch_chunks(const ChunkParameters& parameters, const SegmentTable& segments, Index heads, Index groups, Stream stream) {
  using Chunk = wkv6::Chunk<N, kind>;
  const auto count = static_cast<unsigned>(segments.count), x = static_cast<unsigned>(heads);
  if (groups > 1) {
    launch(group_kernel<N, kind>, dim3(x, count, static_cast<unsigned>(groups - 1)), Chunk::kThreads, sizeof(Chunk), stream, parameters,
           segments);
    launch(chain_kernel<N>, dim3(x * (N * N / 4 / kChainThreads), count), kChainThreads, 0, stream, parameters, segments);
  }
  launch(chunk_kernel<N, kind>, dim3(x, count, static_cast<unsigned>(groups)), Chunk::kThreads, sizeof(Chunk), stream, parameters, segments);
}

// How many groups of a segment to take at the same time: all of them where heads and segments leave half of the GPU idle or more, which
// runs two blocks to a multiprocessor. 1: segments whole.
Index groups_at_once(const SegmentTable& segments, Index heads) {
  constexpr Index kMost = 65535;  // of a grid
  const Index most = segments.most_rows() / kGroup;
  return most >= 1 && most <= kMost && heads * segments.count <= multiprocessors() ? most : 1;
}

}  // namespace

void wkv6_chunks(const Wkv6Args& args, const SegmentTable& segments, Stream stream) {
  RR_CHECK(whole_fours(args.N, args.r, args.w, args.k, args.v, args.y), "operands that are not aligned");
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
  const Index groups = groups_at_once(segments, args.heads);
  with_tf32(args.operand, [&](auto kind) {
    if (args.N == 32) return launch_chunks<32, kind()>(parameters, segments, args.heads, groups, stream);
    launch_chunks<64, kind()>(parameters, segments, args.heads, groups, stream);
  });
}

}  // namespace riverrun::kernels::cuda
