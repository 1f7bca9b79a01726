// WKV-7 in chunks for models of fp32, one kernel for a whole segment: the state stays in registers from chunk to chunk.
#include <algorithm>

#include "kernels/cuda/barrier.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wkv7_chunk_f32.cuh"

namespace riverrun::kernels::cuda {

namespace {

// The state of 16 value rows of a head through a chunk that is ready. `y`: the chunk's first token, at the
// first of the rows.
template <int N>
__device__ __forceinline__ void read_and_write(StateRows<N>& S, const Wkv7Chunk<N>& chunk, int row0,
                                               float* y, Index D, int tokens) {
  constexpr Tf32 kind = chunk.kind;
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

// A chunk, the slot that it is in, which is `chunk` modulo the number of slots, and the number of the barrier before the slot.
struct Turn {
  int chunk, slot, gate;
  __device__ __forceinline__ void advance(int chunks, int slots, int gates) {
    chunk += chunks, slot += chunks, gate += chunks;
    if (slot >= slots) slot -= slots;
    if (gate >= gates) gate -= gates;
  }
};

// Who does what. A block has a head and three crews of N / 16 warps. Crews 1 and 2 prepare chunks, crew 1
// those of even numbers, crew 2 the others; crew 0, the readers, take the state through one after the other,
// 16 value rows to a warp. A chunk is in its slot from the first byte fetched until it has been read.
//
// Of chunk i, in slot s, its crew
//   1. waits at emptied(i mod gates) until chunk i - slots has been read, unless i is the slot's first, and starts
//      the copies; meanwhile it prepares earlier chunks;
//   2. waits for the copies, and at own(crew) for those of its other threads;
//   3. scales rows, own(crew), multiplies rows and inverts;
//   4. arrives at ready(s).
// The readers wait at ready(s), read, and arrive at emptied((i + slots) mod gates) if there is a chunk i + slots to
// wait there.
//
// - A slot is written between its emptied() and ready(s) by its crew, and read between ready(s) and the next
//   emptied() by the readers. Nobody arrives at a barrier for a chunk before all have arrived there for the one
//   before: at ready(s), since emptied() lies between; at emptied(), since with an even number of gates the same crew
//   comes there each time, and with five a crew that fetches chunk i + 5 has waited at ready for what the other
//   prepared behind emptied(i). Hence six gates for three slots: with three, a warp of one crew could come for chunk
//   i + 3 before the last of the other has come for chunk i.
// - Within a crew own(crew) stands between copies and their use, and between rows, scaled by channels, and their
//   products, which overwrite w. The warp that inverts has made L itself.
// - Nobody waits for ever: behind chunk i a crew waits for chunk i - slots + kPreparers * ahead < i to be
//   read, and the readers for the first chunk that is not prepared.
constexpr int kPreparers = 2, kLeastSlots = 3, kMostSlots = 6;
__device__ __forceinline__ constexpr int own(int crew) { return crew; }
__device__ __forceinline__ constexpr int ready(int slot) { return 1 + kPreparers + slot; }
__device__ __forceinline__ constexpr int emptied(int gate) { return 1 + kPreparers + kMostSlots + gate; }
static_assert(emptied(kMostSlots - 1) < 16);
__device__ __forceinline__ constexpr int gates_of(int slots) { return slots == 3 ? 6 : slots; }

template <int N>
__device__ __forceinline__ void prepare_chunks(const ChunkParameters& args, const Chunks& chunks,
                                               Wkv7Chunk<N>* slots, int crew, int thread) {
  constexpr int kThreads = Wkv7Chunk<N>::kThreads;
  // Chunks of this crew that are on their way while it prepares one.
  const int ahead = args.slots > 2 * kPreparers ? 2 : 1;
  const int gates = gates_of(args.slots);
  Turn next = {crew - 1, crew - 1, crew - 1};
  const auto fetch_next = [&] {
    if (next.chunk < chunks.count) {
      if (next.chunk >= args.slots) wait_at_barrier(emptied(next.gate), 2 * kThreads);
      slots[next.slot].fetch(args, chunks.place(next.chunk), chunks.tokens(next.chunk), thread);
    }
    commit_copies();  // also where there are none, so that `ahead` groups follow a chunk's
    next.advance(kPreparers, args.slots, gates);
  };
  for (int i = 0; i < ahead; ++i) fetch_next();
  unsigned turn = 0;
  for (Turn now = {crew - 1, crew - 1, crew - 1}; now.chunk < chunks.count;
       now.advance(kPreparers, args.slots, gates), ++turn) {
    auto& chunk = slots[now.slot];
    ahead == 2 ? wait_for_copies<1>() : wait_for_copies<0>();
    wait_at_barrier(own(crew), kThreads);
    chunk.scale(thread);
    wait_at_barrier(own(crew), kThreads);
    chunk.multiply_rows(thread, turn);
    arrive_at_barrier(ready(now.slot), 2 * kThreads);
    fetch_next();
  }
}

template <int N>
__device__ __forceinline__ void read_chunks(const ChunkParameters& args, const Chunks& chunks,
                                            const Wkv7Chunk<N>* slots,
                                            const SegmentTable::Entry& segment, int thread) {
  constexpr int kThreads = Wkv7Chunk<N>::kThreads;
  const int row0 = 16 * (thread / kWarp);
  const Index state_at = (Index{blockIdx.x} * N + row0) * N;
  StateRows<N> S;
  S.load(segment.in == nullptr ? nullptr : segment.in + state_at);
  const int gates = gates_of(args.slots);
  // The gate of the chunk that takes the slot next.
  for (Turn now = {0, 0, args.slots % gates}; now.chunk < chunks.count; now.advance(1, args.slots, gates)) {
    wait_at_barrier(ready(now.slot), 2 * kThreads);
    read_and_write(S, slots[now.slot], row0, args.y + chunks.place(now.chunk) + row0, args.D,
                   chunks.tokens(now.chunk));
    if (now.chunk + args.slots < chunks.count) arrive_at_barrier(emptied(now.gate), 2 * kThreads);
  }
  if (segment.out != nullptr) S.store(segment.out + state_at);
}

// blockIdx.x: a head of the range, blockIdx.y: a segment.
template <int N>
__global__ void __launch_bounds__((1 + kPreparers) * Wkv7Chunk<N>::kThreads, 1)
    wkv7_chunk_f32_kernel(const __grid_constant__ ChunkParameters args,
                      const __grid_constant__ SegmentTable segments) {
  wait_for_previous_alone();
  constexpr int kThreads = Wkv7Chunk<N>::kThreads;
  auto* const slots = launch_shared<Wkv7Chunk<N>>();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Chunks chunks(segment.begin, segment.end, args.D, (args.first_head + blockIdx.x) * N);
  const int crew = static_cast<int>(threadIdx.x / kThreads),
            thread = static_cast<int>(threadIdx.x % kThreads);
  if (crew == 0) {
    read_chunks(args, chunks, slots, segment, thread);
  } else {
    prepare_chunks(args, chunks, slots, crew, thread);
  }
}

template <int N>
void launch_chunks(ChunkParameters parameters, const SegmentTable& segments, Index heads, Stream stream) {
  using Chunk = Wkv7Chunk<N>;
  constexpr Index kBytes = sizeof(Chunk);
  parameters.slots = static_cast<int>(std::min<Index>(most_shared_bytes() / kBytes, kMostSlots));
  RR_CHECK(parameters.slots >= kLeastSlots, "a GPU whose blocks have ", most_shared_bytes(),
           " bytes of shared memory");
  launch(wkv7_chunk_f32_kernel<N>,
         dim3(static_cast<unsigned>(heads), static_cast<unsigned>(segments.count)),
         (1 + kPreparers) * Chunk::kThreads, parameters.slots * kBytes, stream, parameters, segments);
}

}  // namespace

void wkv7_chunks_f32(const Wkv7Args& args, const SegmentTable& segments, Stream stream) {
  const ChunkParameters parameters = {.D = args.H * args.N,
                                      .first_head = args.first_head,
                                      .operands = {args.a, args.r, args.b, args.k, args.v},
                                      .w = args.w,
                                      .y = args.y,
                                      .slots = 0};
  if (args.N == 32) return launch_chunks<32>(parameters, segments, args.heads, stream);
  launch_chunks<64>(parameters, segments, args.heads, stream);
}

}  // namespace riverrun::kernels::cuda
