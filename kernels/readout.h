// What is read off the end of the model: log-probabilities, and sums of hidden states for pooling.
#pragma once

#include "core/stream.h"
#include "core/types.h"

namespace riverrun::kernels {

// out[m] = logits[m][target[m]] - log(sum_v exp(logits[m][v])), fp32, the maximum taken out first. NaN when a logit
// of the row is NaN.
struct LogProbArgs {
  Index M, V;
  const float* logits;     // [M, V]
  const TokenId* targets;  // [M], each in [0, V)
  float* out;              // [M]
};

// sum[d] += x[0][d] + ... + x[M-1][d], one row after the other in fp64: however a document is cut, the same bits.
struct SumRowsArgs {
  Index M, D;
  const float* x;  // [M, D]
  double* sum;     // [D]
};

using LogProb = void (*)(const LogProbArgs& args, Stream stream);
using SumRows = void (*)(const SumRowsArgs& args, Stream stream);

}  // namespace riverrun::kernels
