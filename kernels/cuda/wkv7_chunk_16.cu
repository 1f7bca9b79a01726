// WKV-7 in chunks for models of 16 bits, one kernel for a whole segment: the state stays in registers from chunk to chunk, in fp32,
// and what the tensor cores multiply is fp16.
#include "kernels/cuda/barrier.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wkv7_chunk_16.cuh"

namespace riverrun::kernels::cuda {

namespace {

// A power of two, and its inverse.
struct Scale {
  float down, up;
};

template <int N>
__device__ __forceinline__ float largest_of(const StateRows<N>& S) {
  float largest[4] = {};
#pragma unroll
  for (int j = 0; j < N / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) largest[i] = fmaxf(largest[i], fabsf(S.tile[j][i]));
  }
  return fmaxf(fmaxf(largest[0], largest[1]), fmaxf(largest[2], largest[3]));
}

// What a warp's rows of the state, whose largest number in this thread is `most`, and of v are multiplied by, so that the largest of
// all is in [16, 32): what is less than a 2^18th of it loses digits, and u may be 2,000 times as much. From these numbers alone, so
// that cuts change no bit; at most 2^15 either way, and none for infinity, beside which rows up to 65,504 stay what they are.
__device__ __forceinline__ Scale scale_of(float most, const Left16& v) {
  constexpr std::uint32_t kMagnitudes = 0x7fff7fffu;
  const std::uint32_t pair = larger_of_pairs(larger_of_pairs(v.of[0] & kMagnitudes, v.of[1] & kMagnitudes),
                                             larger_of_pairs(v.of[2] & kMagnitudes, v.of[3] & kMagnitudes));
  most = fmaxf(most, fmaxf(widen(F16{static_cast<std::uint16_t>(pair)}), widen(F16{static_cast<std::uint16_t>(pair >> 16)})));
  const int exponent = static_cast<int>(largest_of_lanes(float_as_bits(most)) >> 23);
  constexpr int kOne = 127, kAim = kOne + 4, kMost = 15;  // 2^15 is the largest power of two in fp16
  const int down = exponent == 255 ? 0 : exponent - kAim;
  const int shift = down < -kMost ? -kMost : down > kMost ? kMost : down;
  return {bits_as_float(static_cast<std::uint32_t>(kOne - shift) << 23), bits_as_float(static_cast<std::uint32_t>(kOne + shift) << 23)};
}

// The state of 16 value rows of a head, whose largest number in this thread is `most`, through a chunk that is ready. `y`: the chunk's
// first token, at the first of the rows.
template <int N>
__device__ __forceinline__ void read_and_write(StateRows<N>& S, const Wkv7Chunk16<N>& chunk, float most, int row0, float* y, Index D,
                                               int tokens) {
  using Rows = typename Wkv7Chunk16<N>::Rows;
  using Grams = typename Wkv7Chunk16<N>::Grams;
  const int pair = threadIdx.x % 4;
  const auto channels = [pair](const float* of, int j) { return *reinterpret_cast<const float2*>(of + 8 * j + 2 * pair); };
  Left16 v = Rows::left_of_columns(&chunk.v[0][row0]);
  const Scale scale = scale_of(most, v);
  const std::uint32_t down = pack_f16(scale.down, scale.down);
#pragma unroll
  for (int i = 0; i < 4; ++i) v.of[i] = multiply_pairs(v.of[i], down);
  // In this order, since u is what the next chunk waits for: the other products are made while its are under way. It is summed in two
  // halves, which wait for half as many products.
  ValuesByTokens u, second, out, solved;
  Left16 keys[N / 16];
  multiply(u.tile, v, Grams::right_of_rows(chunk.from_keys[0]));
#pragma unroll
  for (int j = 0; j < N / 8; j += 2) {
    float state[2][4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float2 by = channels(chunk.middle, j + half);
#pragma unroll
      for (int i = 0; i < 4; ++i) state[half][i] = S.tile[j + half][i] * ((i % 2 == 0 ? by.x : by.y) * scale.down);
    }
    keys[j / 2] = left_of_results(state);
    multiply(j < N / 16 ? u.tile : second.tile, keys[j / 2], Rows::right_of_rows(&chunk.a[0][8 * j]));
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) u.tile[i / 4][i % 4] += second.tile[i / 4][i % 4];
#pragma unroll
  for (int j = 0; j < N / 8; j += 2) multiply(out.tile, keys[j / 2], Rows::right_of_rows(&chunk.r[0][8 * j]));
  multiply(out.tile, v, Grams::right_of_rows(chunk.of_keys[0]));
  multiply(solved.tile, left_of_results(u.tile), Grams::right(chunk.inverse[0]));
  float added[N / 16][2][4] = {};
#pragma unroll
  for (int j = 0; j < N / 8; j += 2) multiply(added[j / 2], v, Rows::right(&chunk.k[0][8 * j]));
  const Left16 removed = left_of_results(solved.tile);
#pragma unroll
  for (int j = 0; j < N / 8; j += 2) multiply(added[j / 2], removed, Rows::right(&chunk.b[0][8 * j]));
  multiply(out.tile, removed, Grams::right_of_rows(chunk.of_removed[0]));
#pragma unroll
  for (int j = 0; j < N / 8; ++j) {
    const float2 by = channels(chunk.rest, j);
    S.add_to(j, channels(chunk.decay, j), added[j / 2][j % 2], {by.x * scale.up, by.y * scale.up});
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) out.tile[i / 4][i % 4] *= scale.up;
  out.write(y, D, tokens);
}

// Who does what. A block has a head; its first N / 16 warps, the readers, take the state through the chunks one after the other, 16
// value rows to a warp; kCrews crews of N / 32 warps prepare chunks, each every kCrews-th one, in a slot of its own.
//
// Of chunk i the crew of slot i % kCrews has its rows in registers since it has scaled those of its last chunk; it
//   1. waits at emptied(slot) until the readers have read that last chunk, and scales into the slot;
//   2. own(slot), fetches rows of the next chunk, multiplies rows and inverts;
//   3. arrives at ready(slot).
// The readers wait at ready(slot), read, and arrive at emptied(slot) if the crew has another chunk.
//
// Of the two barriers of a slot each is complete before anybody comes to the other for the same chunk, so nobody arrives at one for a
// chunk before all have arrived there for the one before. A crew waits for the readers, and they for the first chunk that is not
// prepared: for ever, neither does.
constexpr int kCrews = 4;
__device__ __forceinline__ constexpr int own(int slot) { return 1 + slot; }
__device__ __forceinline__ constexpr int ready(int slot) { return 1 + kCrews + slot; }
__device__ __forceinline__ constexpr int emptied(int slot) { return 1 + 2 * kCrews + slot; }
static_assert(emptied(kCrews - 1) < 16);

template <int N>
constexpr unsigned kReaders = 2 * N;  // threads
template <int N>
constexpr int kBoth = static_cast<int>(kReaders<N>) + Wkv7Chunk16<N>::kThreads;

template <int N>
__device__ __forceinline__ void prepare_chunks(const Chunk16Parameters& args, const Chunks& chunks, Wkv7Chunk16<N>& slot, int crew,
                                               unsigned thread) {
  constexpr int kThreads = Wkv7Chunk16<N>::kThreads, kPairs = Wkv7Chunk16<N>::kPairs;
  const int first = static_cast<int>(thread / kPairs) * Wkv7Rows::kTokens;
  const Index offset = first * args.D + thread % kPairs * 2;
  Wkv7Rows rows;
  unsigned turn = crew / 2;  // warps 4 apart share a quarter of the SM; those that invert are in different ones
  // One place to fetch rows and one to use them: behind the last chunk nothing is fetched, before the first nothing is multiplied.
  for (int chunk = crew - kCrews;;) {
    const int next = chunk + kCrews;
    if (next < chunks.count) rows.load(args, chunks.place(next) + offset, chunks.tokens(next) - first);
    if (chunk >= 0) {
      slot.multiply_rows(thread, turn++);
      arrive_at_barrier(ready(crew), kBoth<N>);
    }
    if (next >= chunks.count) return;
    if (chunk >= 0) wait_at_barrier(emptied(crew), kBoth<N>);
    slot.scale(rows, thread);
    wait_at_barrier(own(crew), kThreads);
    chunk = next;
  }
}

template <int N>
__device__ __forceinline__ void read_chunks(const Chunk16Parameters& args, const Chunks& chunks, const Wkv7Chunk16<N>* slots,
                                            const SegmentTable::Entry& segment, int thread) {
  const int row0 = 16 * (thread / kWarp);
  const Index state_at = (Index{blockIdx.x} * N + row0) * N;
  StateRows<N> S;
  S.load(segment.in == nullptr ? nullptr : segment.in + state_at);
  for (int chunk = 0; chunk < chunks.count; ++chunk) {
    const int slot = chunk % kCrews;
    const float most = largest_of(S);
    wait_at_barrier(ready(slot), kBoth<N>);
    read_and_write(S, slots[slot], most, row0, args.y + chunks.place(chunk) + row0, args.D, chunks.tokens(chunk));
    if (chunk + kCrews < chunks.count) arrive_at_barrier(emptied(slot), kBoth<N>);
  }
  if (segment.out != nullptr) S.store(segment.out + state_at);
}

// blockIdx.x: a head of the range, blockIdx.y: a segment.
template <int N>
__global__ void __launch_bounds__(kReaders<N> + kCrews * Wkv7Chunk16<N>::kThreads, N == 32 ? 2 : 1)
    wkv7_chunk_16_kernel(const __grid_constant__ Chunk16Parameters args, const __grid_constant__ SegmentTable segments) {
  auto* const slots = launch_shared<Wkv7Chunk16<N>>();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Chunks chunks(segment.begin, segment.end, args.D, (args.first_head + blockIdx.x) * N);
  if (threadIdx.x < kReaders<N>) {
    read_chunks(args, chunks, slots, segment, static_cast<int>(threadIdx.x));
  } else {
    const unsigned beyond = threadIdx.x - kReaders<N>, crew = beyond / Wkv7Chunk16<N>::kThreads;
    prepare_chunks(args, chunks, slots[crew], static_cast<int>(crew), beyond % Wkv7Chunk16<N>::kThreads);
  }
}

template <int N>
void launch_chunks(const Chunk16Parameters& parameters, const SegmentTable& segments, Index heads, Stream stream) {
  launch(wkv7_chunk_16_kernel<N>, dim3(static_cast<unsigned>(heads), static_cast<unsigned>(segments.count)),
         kReaders<N> + kCrews * Wkv7Chunk16<N>::kThreads, kCrews * Index{sizeof(Wkv7Chunk16<N>)}, stream, parameters, segments);
}

}  // namespace

void wkv7_chunks_16(const Wkv7Args& args, const SegmentTable& segments, Stream stream) {
  const Chunk16Parameters parameters = {.D = args.H * args.N, .first_head = args.first_head, .a = args.a, .r = args.r, .b = args.b,
                                        .k = args.k, .v = args.v, .w = args.w, .y = args.y};
  if (args.N == 32) return launch_chunks<32>(parameters, segments, args.heads, stream);
  launch_chunks<64>(parameters, segments, args.heads, stream);
}

}  // namespace riverrun::kernels::cuda
