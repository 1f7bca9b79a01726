// Readout: from the last layer's activations to what was asked for: pooled vectors, windows, scores.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/model.h"
#include "plan/plan.h"
#include "ring/result.h"

namespace riverrun::ring {

class Readout {
 public:
  Readout(const model::Model& model, const kernels::KernelTable& kernels, const Request& request, Index block_tokens, Stream stream);

  // Doubles that travel with a carry: the sum of the document so far, and of its unfinished window.
  static Index carried_sums(const Request& request, Index channels) { return request.sums() ? 2 * channels : 0; }

  // Reads a block that has gone through all layers. next_ids[i] follows row i in its document, or is -1 at its end.
  // sums_in, sums_out: of the first slice, may be null (starts as zeros; not wanted). results[i] is of slice i:
  // document, tokens and last are set here too. `alive` is called now and then: a head may take long.
  void read(model::Workspace& workspace, const plan::Block& block, std::span<const TokenId> next_ids, const double* sums_in,
            double* sums_out, std::vector<SliceResult>& results, const std::function<void()>& alive);

 private:
  void pool_slice(const plan::Slice& slice, Index first_row, SliceResult& result);
  void last_of_slice(model::Workspace& workspace, const plan::Slice& slice, Index first_row, SliceResult& result);
  void append_vector(const double* sum, Index count, std::vector<float>& out) const;

  const model::Model& model_;
  const kernels::KernelTable& kernels_;
  const Request request_;
  const Index channels_;
  Stream stream_;
  Array<float> hidden_;          // [B, D], when means are asked for
  Array<float> last_;            // [D], when they are not
  Array<float> scores_;          // [B]
  std::vector<TokenId> targets_;
  Array<double> sums_;           // [2, D]
  std::vector<double> row_;      // [D]
};

bool all_finite(std::span<const float> values);

// What pooling does to a vector at the end, for one that was computed elsewhere too: sum / count, and to length 1.
void finish_vector(const double* sum, Index count, bool normalize, std::span<float> out);

}  // namespace riverrun::ring
