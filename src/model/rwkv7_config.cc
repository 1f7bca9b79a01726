// RWKV-7: sizes, state and cost, from names and shapes alone.

#include "core/error.h"
#include "model/rwkv7.h"

namespace riverrun::model {

Config read_rwkv7_config(const checkpoint::Checkpoint& file) {
  Config config;
  config.generation = "rwkv7";
  config.layers = count_layers(file);
  const auto shape = [&](const std::string& name) { return file.require(name, {-1, -1}).shape; };
  config.vocab = shape("emb.weight")[0];
  config.channels = shape("emb.weight")[1];
  config.weights = file.require("emb.weight", {-1, -1}).dtype;
  const auto& r_k = shape("blocks.0.att.r_k");
  config.heads = r_k[0];
  config.head_size = r_k[1];
  RR_CHECK_INPUT(config.heads * config.head_size == config.channels, file.path(), ": blocks.0.att.r_k is [", config.heads, ", ",
                 config.head_size, "], which does not make up the ", config.channels, " channels of emb.weight");
  config.ffn = shape("blocks.0.ffn.key.weight")[0];
  config.rank_decay = shape("blocks.0.att.w1")[1];
  config.rank_rate = shape("blocks.0.att.a1")[1];
  config.rank_gate = shape("blocks.0.att.g1")[1];
  config.rank_value = config.layers > 1 ? shape("blocks.1.att.v1")[1] : 0;
  config.has_head = file.find("head.weight") != nullptr;
  return config;
}

StateShape rwkv7_state_shape(const Config& config) {
  return {config.layers, config.heads, config.head_size * config.head_size, config.channels};
}

Cost rwkv7_cost(const Config& config, DType operand) {
  const double D = config.channels, F = config.ffn, L = config.layers;
  const double ranks = config.rank_decay + config.rank_rate + config.rank_value + config.rank_gate;
  const double matrices = L * (4 * D * D + 2 * D * F + 2 * D * ranks);
  const double tables = 2.0 * D * config.vocab;
  Cost cost;
  cost.layer_flops = 2 * matrices;
  cost.state_flops = 9 * L * D * config.head_size;
  cost.head_flops = 2 * D * config.vocab;
  cost.weight_bytes = static_cast<Index>(matrices + tables) * size_of(operand);
  // Eleven fp32 rows, six lerps and the wide inner row in the operand type (Rwkv7Workspace).
  cost.activation_bytes = 11 * config.channels * 4 + (6 * config.channels + config.ffn) * size_of(operand);
  return cost;
}

}  // namespace riverrun::model
