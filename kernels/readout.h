// What is read off the end of the model: log-probabilities, the likeliest token, and sums of hidden states for pooling.
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

// out[m]: the largest logit of the row that may come, the lowest id among equal ones; -1 when one is NaN or +infinity, or all
// are minus infinity. Before, in this order, what is banned becomes minus infinity in every row of `logits`, and penalties[i] is
// subtracted from logits[m][penalised[i]] for i in [penalty_begin[m], penalty_begin[m + 1]).
struct PickLargestArgs {
  Index M, V;
  float* logits;               // [M, V]
  Index banned_count;
  const TokenId* banned;       // [banned_count]
  const Index* penalty_begin;  // [M + 1], or null: there are none
  const TokenId* penalised;    // a token comes at most once in a row
  const float* penalties;
  TokenId* out;                // [M]
};

// sum[d] += x[0][d] + ... + x[M-1][d], one row after the other in fp64: however a document is cut, the same bits.
struct SumRowsArgs {
  Index M, D;
  const float* x;  // [M, D]
  double* sum;     // [D]
};

using LogProb = void (*)(const LogProbArgs& args, Stream stream);
using PickLargest = void (*)(const PickLargestArgs& args, Stream stream);
using SumRows = void (*)(const SumRowsArgs& args, Stream stream);

}  // namespace riverrun::kernels
