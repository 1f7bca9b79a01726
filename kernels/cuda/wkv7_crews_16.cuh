// How a segment's chunks go through WKV-7 for models of 16 bits: readers take the state through one chunk after the other, 16 value rows
// to a warp, in registers and fp32; crews of warps prepare chunks in slots of shared memory. Who waits for whom is the
// kernel's affair: its Handover has
//
//   kStep                               chunks from one that a crew prepares to its next; the others are prepared meanwhile
//   first(crew), slot(crew)             the first, and where it prepares them all
//   wait_for_crew(crew)                 a barrier of the crew
//   hand_on(crew, thread)               the chunk in its slot can be read
//   wait_until_read(crew, step)         its `step`th chunk has been
//   slot_of(chunk)                      where readers find a chunk
//   wait_until_ready(chunk), have_read(chunk)
#pragma once

#include "kernels/cuda/wkv7_chunk_16.cuh"

namespace riverrun::kernels::cuda {

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

template <int N, class Handover>
__device__ __forceinline__ void prepare_chunks(const Chunk16Parameters& args, const Chunks& chunks, Handover handover, int crew,
                                               unsigned thread) {
  constexpr int kPairs = Wkv7Chunk16<N>::kPairs, kStep = Handover::kStep;
  const int first = static_cast<int>(thread / kPairs) * Wkv7Rows::kTokens;
  const Index offset = first * args.D + thread % kPairs * 2;
  Wkv7Chunk16<N>& slot = handover.slot(crew);
  Wkv7Rows rows;
  unsigned turn = crew / 2;  // warps 4 apart share a quarter of the SM; those that invert are in different ones
  // One place to fetch rows and one to use them: behind the last chunk nothing is fetched, before the first nothing is multiplied.
  int chunk = handover.first(crew) - kStep;
  for (unsigned step = 0;; ++step, chunk += kStep) {
    const int next = chunk + kStep;
    if (next < chunks.count) rows.load(args, chunks.place(next) + offset, chunks.tokens(next) - first);
    if (step > 0) {
      slot.multiply_rows(thread, turn++);
      handover.hand_on(crew, thread);
    }
    if (next >= chunks.count) return;
    if (step > 0) handover.wait_until_read(crew, step - 1);
    slot.scale(rows, thread);
    handover.wait_for_crew(crew);
  }
}

// `row0`: the warp's first value row of the head.
template <int N, class Handover>
__device__ __forceinline__ void read_chunks(const Chunk16Parameters& args, const Chunks& chunks, Handover handover,
                                            const SegmentTable::Entry& segment, Index head, int row0) {
  const Index state_at = (head * N + row0) * N;
  StateRows<N> S;
  S.load(segment.in == nullptr ? nullptr : segment.in + state_at);
  for (int chunk = 0; chunk < chunks.count; ++chunk) {
    const float most = largest_of(S);
    handover.wait_until_ready(chunk);
    read_and_write(S, handover.slot_of(chunk), most, row0, args.y + chunks.place(chunk) + row0, args.D, chunks.tokens(chunk));
    if (chunk + Handover::kStep < chunks.count) handover.have_read(chunk);
  }
  if (segment.out != nullptr) S.store(segment.out + state_at);
}

}  // namespace riverrun::kernels::cuda
