// What the recurrences share, once per instruction set: a task's state in and out, and its split into
// vectors.
//
// The state of a task is kept transposed, [key][value rows of the task]: lanes are value rows, so that no sum
// over keys runs across lanes.

// Included once per target: no plain include guard (see hwy/foreach_target.h).
#if defined(RIVERRUN_KERNELS_CPU_RECURRENCE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RIVERRUN_KERNELS_CPU_RECURRENCE_INL_H_
#undef RIVERRUN_KERNELS_CPU_RECURRENCE_INL_H_
#else
#define RIVERRUN_KERNELS_CPU_RECURRENCE_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "kernels/cpu/recurrence.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

constexpr Index kPrefetchTokens = 3;

#if HWY_TARGET != HWY_SCALAR
// Four rows of vectors become four columns, within each block of four lanes: lane 4 b + r of column[j] is
// lane 4 b + j of row[r].
template <class D, class V = hn::Vec<D>>
HWY_INLINE void transpose_blocks(D d, const V* row, V* column) {
  const auto left01 = hn::InterleaveLower(d, row[0], row[1]), left23 = hn::InterleaveLower(d, row[2], row[3]);
  const auto right01 = hn::InterleaveUpper(d, row[0], row[1]),
             right23 = hn::InterleaveUpper(d, row[2], row[3]);
  const hn::RepartitionToWide<D> pairs;
  const auto pair = [&](V v) { return hn::BitCast(pairs, v); };
  column[0] = hn::BitCast(d, hn::InterleaveLower(pairs, pair(left01), pair(left23)));
  column[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, pair(left01), pair(left23)));
  column[2] = hn::BitCast(d, hn::InterleaveLower(pairs, pair(right01), pair(right23)));
  column[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, pair(right01), pair(right23)));
}

// The same for whole blocks: block g of out[b * step] is block b of in[g * step].
template <class D, class V = hn::Vec<D>>
HWY_INLINE void exchange_blocks(D d, const V* in, V* out, Index step) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    out[0] = in[0];
  } else if constexpr (hn::MaxLanes(D()) == 8) {
    out[0] = hn::ConcatLowerLower(d, in[step], in[0]);
    out[step] = hn::ConcatUpperUpper(d, in[step], in[0]);
  } else {
    const V low02 = hn::ConcatLowerLower(d, in[2 * step], in[0]),
            low13 = hn::ConcatLowerLower(d, in[3 * step], in[step]);
    const V high02 = hn::ConcatUpperUpper(d, in[2 * step], in[0]),
            high13 = hn::ConcatUpperUpper(d, in[3 * step], in[step]);
    out[0] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(low13), low02);
    out[step] = hn::OddEvenBlocks(low13, hn::SwapAdjacentBlocks(low02));
    out[2 * step] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(high13), high02);
    out[3 * step] = hn::OddEvenBlocks(high13, hn::SwapAdjacentBlocks(high02));
  }
}

// to[c * to_stride + r] = from[r * from_stride + c] for a square as large as a vector has lanes.
template <class D>
HWY_INLINE void transpose_tile(D d, const float* from, Index from_stride, float* to, Index to_stride) {
  constexpr Index kLanes = hn::MaxLanes(D()), kBlocks = kLanes / 4;
  hn::Vec<D> row[kLanes], column[kLanes], out[kLanes];
  for (Index r = 0; r < kLanes; ++r) row[r] = hn::LoadU(d, from + r * from_stride);
  for (Index g = 0; g < kBlocks; ++g) transpose_blocks(d, row + 4 * g, column + 4 * g);
  for (Index j = 0; j < 4; ++j) exchange_blocks(d, column + j, out + j, 4);
  for (Index c = 0; c < kLanes; ++c) hn::StoreU(out[c], d, to + c * to_stride);
}
#endif

// to[c * to_stride + r] = from[r * from_stride + c]. Meanwhile, evenly spread, the elements [soon, soon_end)
// are brought into the cache.
HWY_INLINE void transpose(const float* from, Index from_stride, Index rows, Index columns, float* to,
                          Index to_stride, [[maybe_unused]] const float* soon,
                          [[maybe_unused]] const float* soon_end) {
#if HWY_TARGET != HWY_SCALAR
  const auto in_tiles = [&](auto d) {
    constexpr Index kLanes = hn::MaxLanes(decltype(d)());
    if (rows % kLanes != 0 || columns % kLanes != 0) return false;
    const Index tiles = (rows / kLanes) * (columns / kLanes);
    const Index step = ((soon_end - soon) / tiles + 15) / 16 * 16;
    for (Index r = 0; r < rows; r += kLanes) {
      for (Index c = 0; c < columns; c += kLanes) {
        for (const float* stop = std::min(soon + step, soon_end); soon < stop; soon += 16)
          hwy::Prefetch(soon);
        transpose_tile(d, from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
      }
    }
    return true;
  };
  if (in_tiles(hn::CappedTag<float, 16>()) || in_tiles(hn::FixedTag<float, 4>())) return;
#endif
  for (Index c = 0; c < columns; ++c) {
    for (Index r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * from_stride + c];
  }
}

// One head of one token, `at` elements into each of the rows.
HWY_INLINE void prefetch_token(std::initializer_list<const float*> rows, Index at, Index N) {
  for (const float* data : rows) {
    for (Index i = 0; i < N; i += 16) hwy::Prefetch(data + at + i);
  }
}

// Calls run(d, vectors, keys, row): value rows [row, row + vectors * lanes) of the task, for `rows` rows in
// all. vectors and keys are integral constants.
template <Index kMostVectors, Index kKeys, class D, class Run>
HWY_INLINE void run_blocks(D d, Index rows, Run&& run) {
  const Index lanes = hn::Lanes(d);
  const std::integral_constant<Index, kKeys> keys;
  Index row = 0;
  for (; row + kMostVectors * lanes <= rows; row += kMostVectors * lanes) {
    run(d, std::integral_constant<Index, kMostVectors>(), keys, row);
  }
  for (; row + 2 * lanes <= rows; row += 2 * lanes) run(d, std::integral_constant<Index, 2>(), keys, row);
  for (; row < rows; row += lanes) run(d, std::integral_constant<Index, 1>(), keys, row);
}

// A task from state to state: `run` as above, with N as keys where it is the usual one, else 0.
template <Index kMostVectors, class Run>
HWY_INLINE void run_task(const RecurrenceTask& task, Index N, Run&& run) {
  const Index soon = task.soon == nullptr ? 0 : N * task.rows;  // one half on the way in, one on the way out
  if (task.state_in == nullptr) {
    std::fill_n(task.S, N * task.rows, 0.0f);
  } else {
    transpose(task.state_in + task.row * N, N, task.rows, N, task.S, task.rows, task.soon,
              task.soon + soon / 2);
  }
  if (task.segment.begin < task.segment.end) {
    if (N == 64 && task.rows % 16 == 0) {
      run_blocks<kMostVectors, 64>(hn::CappedTag<float, 16>(), task.rows, run);
    } else {
      with_lanes(task.rows, [&](auto d) { run_blocks<kMostVectors, 0>(d, task.rows, run); });
    }
  }
  if (task.state_out != nullptr) {
    transpose(task.S, task.rows, N, task.rows, task.state_out + task.row * N, N, task.soon + soon / 2,
              task.soon + soon);
  }
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
