#include <algorithm>
#include <cmath>

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

void sum_rows(const SumRowsArgs& args, Stream) {
  for (Index m = 0; m < args.M; ++m) {
    for (Index d = 0; d < args.D; ++d) args.sum[d] += args.x[m * args.D + d];
  }
}

}  // namespace riverrun::kernels::reference
