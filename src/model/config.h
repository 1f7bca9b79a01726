// Config: what a checkpoint's names and shapes say about the model.
#pragma once

#include <string>

#include "checkpoint/checkpoint.h"
#include "core/types.h"

namespace riverrun::model {

struct Config {
  std::string generation;  // "rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"
  Index layers = 0;        // L
  Index channels = 0;      // D
  Index heads = 0;         // H; 0 in RWKV-4, which has none. Otherwise D = H * N
  Index head_size = 0;     // N
  Index ffn = 0;           // F
  Index vocab = 0;         // V, rows of the embedding
  // Inner sizes of the LoRA pairs: decay (6 and 7); rate, value and gate (7); each of the five token-shift pairs (6);
  // DeepEmbed, whose matrices are square (7a). 0: there is none.
  Index rank_decay = 0, rank_rate = 0, rank_value = 0, rank_gate = 0, rank_shift = 0, rank_embed = 0;
  bool has_head = false;   // without one a model embeds, but neither scores nor generates
  DType weights = DType::f32;       // as stored
  float norm_eps = 1e-5f;           // LayerNorm
  float group_norm_eps = 64e-5f;    // of ln_x; not stored in checkpoints, the same in all released ones
  Index parameters = 0;
};

// Which generation the tensors are, from the full set of names (and the shape of the decay, for 5.1 and 5.2), as in
// Config. InputError when they are none, or one whose state is not compact.
std::string detect_generation(const checkpoint::Checkpoint& file);

// One past the largest block number; InputError unless 0, 1, ... are all there.
Index count_layers(const checkpoint::Checkpoint& file);

}  // namespace riverrun::model
