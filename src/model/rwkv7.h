// RWKV-7 "Goose" (x070), and RWKV-7a, which adds DeepEmbed.
#pragma once

#include "model/generation.h"

namespace riverrun::model {

extern const Generation kRwkv7, kRwkv7a;

// Numbers of the inner row of a LoRA: so many that it lies equally aligned behind any others, of which it is computed at the same time.
Index rwkv7_lora_width(Index rank);
// Of the widest inner row of a layer, or of the LoRAs' together.
Index rwkv7_inner_width(const Config& config);
void complete_rwkv7_config(const checkpoint::Checkpoint& file, Config& config);
void complete_rwkv7a_config(const checkpoint::Checkpoint& file, Config& config);
Cost rwkv7_cost(const Config& config, DType operand, DType weights);

}  // namespace riverrun::model
