#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

void log_prob(const LogProbArgs& args, Stream) {
  for (Index m = 0; m < args.M; ++m) {
    const float* row = args.logits + m * args.V;
    const double most = *std::max_element(row, row + args.V);
    double sum = 0;
    for (Index v = 0; v < args.V; ++v) sum += std::exp(row[v] - most);
    args.out[m] = static_cast<float>(row[args.targets[m]] - most - std::log(sum));
  }
}

void pick_largest(const PickLargestArgs& args, Stream) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (Index m = 0; m < args.M; ++m) {
    float* const row = args.logits + m * args.V;
    for (Index i = 0; i < args.banned_count; ++i) row[args.banned[i]] = -kInfinity;
    const bool penalised = args.penalty_begin != nullptr;
    for (Index i = penalised ? args.penalty_begin[m] : 0; i < (penalised ? args.penalty_begin[m + 1] : 0); ++i) {
      row[args.penalised[i]] -= args.penalties[i];
    }
    float largest = -kInfinity;
    TokenId at = -1;
    bool sound = true;
    for (Index v = 0; v < args.V; ++v) {
      sound = sound && row[v] < kInfinity;  // false for NaN
      if (row[v] > largest) largest = row[v], at = static_cast<TokenId>(v);
    }
    args.out[m] = sound ? at : -1;
  }
}

void sum_rows(const SumRowsArgs& args, Stream) {
  for (Index m = 0; m < args.M; ++m) {
    for (Index d = 0; d < args.D; ++d) args.sum[d] += args.x[m * args.D + d];
  }
}

}  // namespace riverrun::kernels::reference
