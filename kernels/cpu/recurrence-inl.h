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

// to[c * to_stride + r] = from[r * from_stride + c]
HWY_INLINE void transpose(const float* from, Index from_stride, Index rows, Index columns, float* to,
                          Index to_stride) {
  Index done = 0;  // columns
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d;
  for (; rows % 4 == 0 && done + 4 <= columns; done += 4) {
    for (Index r = 0; r < rows; r += 4) {
      const float* tile = from + r * from_stride + done;
      const auto row0 = hn::LoadU(d, tile), row1 = hn::LoadU(d, tile + from_stride);
      const auto row2 = hn::LoadU(d, tile + 2 * from_stride), row3 = hn::LoadU(d, tile + 3 * from_stride);
      const auto left01 = hn::InterleaveLower(d, row0, row1), left23 = hn::InterleaveLower(d, row2, row3);
      const auto right01 = hn::InterleaveUpper(d, row0, row1), right23 = hn::InterleaveUpper(d, row2, row3);
      float* out = to + done * to_stride + r;
      hn::StoreU(hn::ConcatLowerLower(d, left23, left01), d, out);
      hn::StoreU(hn::ConcatUpperUpper(d, left23, left01), d, out + to_stride);
      hn::StoreU(hn::ConcatLowerLower(d, right23, right01), d, out + 2 * to_stride);
      hn::StoreU(hn::ConcatUpperUpper(d, right23, right01), d, out + 3 * to_stride);
    }
  }
#endif
  for (; done < columns; ++done) {
    for (Index r = 0; r < rows; ++r) to[done * to_stride + r] = from[r * from_stride + done];
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
  if (task.state_in == nullptr) {
    std::fill_n(task.S, N * task.rows, 0.0f);
  } else {
    transpose(task.state_in + task.row * N, N, task.rows, N, task.S, task.rows);
  }
  if (task.segment.begin < task.segment.end) {
    if (N == 64 && task.rows % 16 == 0) {
      run_blocks<kMostVectors, 64>(hn::CappedTag<float, 16>(), task.rows, run);
    } else {
      with_lanes(task.rows, [&](auto d) { run_blocks<kMostVectors, 0>(d, task.rows, run); });
    }
  }
  if (task.state_out != nullptr) transpose(task.S, task.rows, N, task.rows, task.state_out + task.row * N, N);
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
