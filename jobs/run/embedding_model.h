// EmbeddingRWKV checkpoints: RWKV-7 without a head, trained to leave a text's embedding in the hidden state of an end
// token behind it.
#pragma once

#include "model/config.h"

namespace riverrun::jobs {

inline constexpr TokenId kEmbeddingEndToken = 65535;  // the last row of the World vocabulary's 65,536

inline bool is_embedding_model(const model::Config& config) {
  return config.generation == "rwkv7" && !config.has_head && config.vocab == kEmbeddingEndToken + 1;
}

}  // namespace riverrun::jobs
