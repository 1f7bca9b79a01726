// Extractive summaries: which passages of a document cover it best.
//
// Maximal marginal relevance (Carbonell and Goldstein, The Use of MMR, Diversity-Based Reranking for Reordering
// Documents and Producing Summaries, SIGIR 1998): one passage after the other is taken, each time the one with the
// greatest lambda * relevance - (1 - lambda) * redundancy. Relevance is the cosine of a passage's vector and the mean
// vector of the document, redundancy its greatest cosine with a passage already taken (0 for the first).
#pragma once

#include <span>
#include <vector>

#include "core/types.h"

namespace riverrun::jobs {

// 1 ranks by relevance alone, 0 by novelty alone. A summary should be typical of its document first of all.
constexpr double kRelevanceWeight = 0.7;

// `windows` is [w, width], row-major, of one document; the lengths of the vectors count only in the mean. Returns
// min(count, w) windows in document order. Ties go to the lower index; a vector of zeros has the cosine 0 with every
// other. Sums are fp64 in a fixed order, so the same vectors give the same windows. O(count * w * width).
// Error for a value that is NaN or infinite, and for sizes that do not fit.
std::vector<Index> choose_passages(std::span<const float> windows, Index width, Index count,
                                   double lambda = kRelevanceWeight);

}  // namespace riverrun::jobs
