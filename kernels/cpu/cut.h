// How products are cut into tasks, as far as all of them do it alike.
#pragma once

#include "core/types.h"

namespace riverrun::kernels::cpu {

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// A product of floating-point numbers that one thread does: a second would cost more than it gives. It wakes up in a microsecond or
// two, and few rows take the time that the weights, `bytes` of them, take to arrive.
inline bool is_for_one_thread(Index M, Index N, Index K, Index bytes) {
  constexpr double kLeastParallelFlop = 2e6;
  constexpr Index kLeastParallelBytes = 128 << 10;
  return 2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K) < kLeastParallelFlop && bytes < kLeastParallelBytes;
}

}  // namespace riverrun::kernels::cpu
