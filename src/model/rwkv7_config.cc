// RWKV-7: sizes and cost, from names and shapes alone.

#include <algorithm>

#include "core/error.h"
#include "model/rwkv7.h"

namespace riverrun::model {

void complete_rwkv7_config(const checkpoint::Checkpoint& file, Config& config) {
  const auto columns = [&](const char* name) { return file.require(name, {-1, -1}).shape[1]; };
  set_heads_by_shape(file, "blocks.0.att.r_k", config);
  config.rank_decay = columns("blocks.0.att.w1");
  config.rank_rate = columns("blocks.0.att.a1");
  config.rank_gate = columns("blocks.0.att.g1");
  config.rank_value = config.layers > 1 ? columns("blocks.1.att.v1") : 0;
}

Index rwkv7_inner_width(const Config& c) {
  return std::max({c.ffn, c.rank_decay, c.rank_rate, c.rank_value, c.rank_gate});
}

Cost rwkv7_cost(const Config& c, DType operand) {
  const double D = c.channels, F = c.ffn, ranks = c.rank_decay + c.rank_rate + c.rank_value + c.rank_gate;
  LayerCost layer;
  layer.matrix_elements = 4 * D * D + 2 * D * F + 2 * D * ranks;
  layer.state_flops = 9 * D * c.head_size;
  layer.float_width = 11 * c.channels;
  layer.operand_width = 6 * c.channels + rwkv7_inner_width(c);
  return make_cost(c, operand, layer);
}

}  // namespace riverrun::model
