// The oracle's numbers for a golden checkpoint.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "model/state.h"

namespace riverrun::test {

struct Golden {
  std::string model_path;
  std::unique_ptr<checkpoint::Checkpoint> weights;
  std::vector<TokenId> tokens;            // [T]
  std::vector<float> logits;              // [T, V] after each token, from a zero state
  std::vector<std::vector<float>> state;  // the package's list after the last token, three entries per layer
  Index V = 0, D = 0;

  Index T() const { return static_cast<Index>(tokens.size()); }
  float largest_logit() const {
    float most = 0;
    for (const float logit : logits) most = std::max(most, std::abs(logit));
    return most;
  }
  // Natural-log probability of token t + 1 after token t.
  double log_prob(Index t) const {
    const float* const row = logits.data() + t * V;
    double sum = 0;
    for (Index v = 0; v < V; ++v) sum += std::exp(double(row[v]));
    return row[tokens[t + 1]] - std::log(sum);
  }
};

inline std::vector<float> floats_of(const checkpoint::Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.size() * size_of(tensor.dtype));
  checkpoint::copy_elements(tensor, bytes.data());
  std::vector<float> values(tensor.size());
  for (Index i = 0; i < tensor.size(); ++i) values[i] = load_float(bytes.data(), tensor.dtype, i);
  return values;
}

inline Golden load_golden(const std::string& generation) {
  Golden golden;
  const std::string folder = RIVERRUN_TEST_DATA "/" + generation;
  golden.model_path = folder + "/model.pth";
  golden.weights = checkpoint::open_checkpoint(golden.model_path);
  golden.V = golden.weights->require("emb.weight", {-1, -1}).shape[0];
  golden.D = golden.weights->require("emb.weight", {-1, -1}).shape[1];
  const auto expected = checkpoint::open_checkpoint(folder + "/expected.safetensors");
  const auto& tokens = expected->require("tokens", {-1});
  golden.tokens.resize(tokens.size());
  checkpoint::copy_elements(tokens, golden.tokens.data());
  golden.logits = floats_of(expected->require("logits", {-1, -1}));
  for (const auto& [name, tensor] : expected->tensors()) {
    if (name.rfind("state.", 0) == 0) golden.state.push_back(floats_of(tensor));
  }
  return golden;
}

}  // namespace riverrun::test
