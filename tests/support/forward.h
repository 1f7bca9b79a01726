// One document through a model without a ring: cut into slices at will, the state carried by hand.
#pragma once

#include <vector>

#include "model/model.h"

namespace riverrun::test {

struct Forward {
  std::vector<float> hidden;  // [T, D] after the final LayerNorm
  std::vector<float> log_probs;  // [T - 1]: of token t + 1 after token t
};

// `cuts` are the lengths of the slices and add up to the number of tokens.
inline Forward forward(const model::Model& model, const std::vector<TokenId>& tokens, const std::vector<Index>& cuts,
                       model::State& state, Stream stream, bool scores, kernels::Phase phase = kernels::Phase::prefill) {
  Forward out;
  const Index D = model.config().channels, T = static_cast<Index>(tokens.size());
  out.hidden.resize(T * D);
  out.log_probs.resize(scores ? T - 1 : 0);
  const auto workspace = model.make_workspace(T, stream, phase);
  const Array<float> hidden(T * D, model.device(), Memory::shared), log_probs(std::max<Index>(T - 1, 1), model.device(), Memory::shared);
  Index first = 0;
  for (const Index count : cuts) {
    const kernels::Segment segment{0, count};
    model.start(*workspace, std::span(tokens).subspan(first, count), {&segment, 1});
    model::State* const states[] = {&state};
    model::run_layers(model, *workspace, states);
    model.hidden(*workspace, 0, count, hidden.data() + first * D);
    const Index scored = std::min(count, T - 1 - first);
    if (scores && scored > 0) {
      model.log_probs(*workspace, 0, std::span(tokens).subspan(first + 1, scored), log_probs.data() + first);
    }
    first += count;
  }
  stream.synchronize();
  std::ranges::copy(hidden.span(), out.hidden.begin());
  std::copy_n(log_probs.data(), out.log_probs.size(), out.log_probs.begin());
  return out;
}

}  // namespace riverrun::test
