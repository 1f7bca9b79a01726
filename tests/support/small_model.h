// A small random model with long memory: a state that got lost on the way shows in every later number.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/random_model.h"
#include "core/error.h"
#include "core/thread_pool.h"
#include "model/model.h"

namespace riverrun::test {

constexpr Index kSmallVocab = 300;

inline checkpoint::RandomModelShape small_shape(const std::string& generation = "rwkv7") {
  checkpoint::RandomModelShape shape;
  shape.generation = generation;
  shape.layers = 3, shape.channels = 128, shape.vocab = kSmallVocab;
  shape.rank_w = 16, shape.rank_a = 24, shape.rank_v = 8, shape.rank_g = 32;
  shape.rank_shift = 12, shape.rank_embed = 8;
  return shape;
}

// Writes it to a file of its own, loads it, and removes the file.
inline std::unique_ptr<model::Model> make_small_model(const kernels::KernelTable& kernels, const std::string& precision,
                                                      const checkpoint::RandomModelShape& shape = small_shape(),
                                                      const std::string& weights = "auto") {
  static int count = 0;
  const std::string path = concat("small_model_", ::getpid(), "_", count++, ".safetensors");
  checkpoint::write_random_model(path, shape);
  ThreadPool pool(1);
  const OwnStream stream(*kernels.device, pool);
  auto model = model::load_model(path, kernels, stream, {precision, shape.head, "", weights});
  std::remove(path.c_str());
  return model;
}

inline std::vector<TokenId> random_tokens(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens(count);
  for (auto& token : tokens) token = static_cast<TokenId>(random() % kSmallVocab);
  return tokens;
}

}  // namespace riverrun::test
