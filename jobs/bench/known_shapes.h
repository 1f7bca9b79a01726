// Shapes of released models, for benchmarks with random weights.
#pragma once

#include <string>

#include "checkpoint/random_model.h"

namespace riverrun::jobs {

// The shape of the released model of that generation ("rwkv5.2") and size ("0.1b"). InputError for one that is not known,
// listing those that are.
checkpoint::RandomModelShape known_shape(const std::string& generation, const std::string& size);

}  // namespace riverrun::jobs
