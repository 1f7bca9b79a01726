// How products are cut into tasks, as far as all of them do it alike.
#pragma once

#include "core/types.h"

namespace riverrun::kernels::cpu {

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// What products of floating-point numbers take that are computed together.
struct Effort {
  double flops = 0;
  Index bytes = 0;  // of weights

  void add(Index M, Index N, Index K, Index weights) {
    flops += 2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K), bytes += weights;
  }
  // One thread does so little: a second would cost more than it gives. It wakes up in a microsecond or two, and few rows take the time
  // that the weights take to arrive.
  bool is_for_one_thread() const { return flops < 2e6 && bytes < 128 << 10; }
};

}  // namespace riverrun::kernels::cpu
