// RWKV-7 and 7a: sizes and cost, from names and shapes alone.

#include <algorithm>

#include "core/error.h"
#include "model/rwkv7.h"

namespace riverrun::model {

void complete_rwkv7_config(const checkpoint::Checkpoint& file, Config& config) {
  set_heads_by_shape(file, "blocks.0.att.r_k", config);
  config.rank_decay = dimension(file, "blocks.0.att.w1", 1);
  config.rank_rate = dimension(file, "blocks.0.att.a1", 1);
  config.rank_gate = dimension(file, "blocks.0.att.g1", 1);
  config.rank_value = config.layers > 1 ? dimension(file, "blocks.1.att.v1", 1) : 0;
}

void complete_rwkv7a_config(const checkpoint::Checkpoint& file, Config& config) {
  complete_rwkv7_config(file, config);
  const Index R = dimension(file, "blocks.0.ffn.s1", 1), square = dimension(file, "blocks.0.ffn.s_emb.weight", 1);
  RR_CHECK_INPUT(R == square / R && square % R == 0, file.path(), ": blocks.0.ffn.s_emb.weight has ", square,
                 " columns, not the square of the ", R, " of blocks.0.ffn.s1");
  config.rank_embed = R;
  RR_CHECK_INPUT(!file.extras().embedding_normalized, file.path(),
                 ": ln0 has been applied to the embedding of this RWKV-7a checkpoint, which riverrun does not run; convert it from"
                 " the official file");
}

Index rwkv7_lora_width(Index rank) { return (rank + 31) / 32 * 32; }

Index rwkv7_inner_width(const Config& c) {
  Index loras = 0;
  for (const Index rank : {c.rank_decay, c.rank_rate, c.rank_value, c.rank_gate}) loras += rwkv7_lora_width(rank);
  return std::max({c.ffn, loras, c.rank_embed});
}

Cost rwkv7_cost(const Config& c, DType operand, DType weights) {
  const double D = c.channels, F = c.ffn, later = 1 - 1.0 / c.layers;  // the share of layers that are not the first
  const double ranks = c.rank_decay + c.rank_rate + later * c.rank_value + c.rank_gate;
  const Index R = c.rank_embed;
  LayerCost layer;
  layer.small_elements = 2 * D * ranks;
  layer.state_flops = 9 * D * c.head_size;
  layer.float_width = 11 * c.channels;
  layer.inner_width = rwkv7_inner_width(c);
  layer.operand_width = 6 * c.channels + layer.inner_width;
  layer.vector_elements = (18 + later) * D;
  if (R > 0) {
    const double square = static_cast<double>(R) * R;
    layer.small_elements += D * square + R * (D + F);
    layer.table_elements = square * c.vocab;
    layer.float_width += R * R + R + 2 * c.ffn;
    layer.operand_width += c.channels;
    layer.vector_elements += D + F;
  }
  layer.matrix_elements = 4 * D * D + 2 * D * F + layer.small_elements;
  return make_cost(c, operand, weights, layer);
}

}  // namespace riverrun::model
