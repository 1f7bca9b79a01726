// Random checkpoints of any generation, for demos, benchmarks and tests that need a model of some size but no knowledge.
#pragma once

#include <cstdint>
#include <string>

#include "core/types.h"

namespace riverrun::checkpoint {

// Defaults: the shape of the released RWKV-7 of 0.1B parameters. What a generation does not have is not looked at.
struct RandomModelShape {
  std::string generation = "rwkv7";  // "rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"
  Index layers = 12, channels = 768, head_size = 64, vocab = 65536;
  Index ffn = 0;  // 0: the released models' 4 * channels, or 3.5 * channels rounded down to a multiple of 32 (5.1, 5.2, 6)
  Index rank_w = 64, rank_a = 64, rank_v = 32, rank_g = 128;
  Index rank_shift = 32, rank_embed = 32;
  DType dtype = DType::bf16;  // a floating-point type
  bool block0_v = false;      // whether layer 0 has v0, v1, v2, which no model reads
  std::uint64_t seed = 1;
  bool time_state = false;    // a tuned initial state in the checkpoint (5.2, 6, 7)
  bool head = true;  // without head.weight a model can embed, but not score or generate
};

// Writes a .safetensors file with the official tensor names, shapes and orientations. Its bytes depend on
// `shape` alone, the same on every machine. InputError for a shape of no model, Error when a write fails.
//
// Matrices are uniform with standard deviation 1/sqrt(inputs); what is added to the residual stream is scaled
// so that activations stay near 1 at any depth. Memory is long, as in trained models: 1 - w runs
// log-uniformly over the channels (RWKV-5.0 and 5.1: over the heads) from 0.16 down to 5e-7. In RWKV-7 the in-context
// learning rate falls with it, since a fast overwrite would forget whatever the decay keeps. So a state that got lost on
// the way shows in every later output.
void write_random_model(const std::string& path, const RandomModelShape& shape);

}  // namespace riverrun::checkpoint
