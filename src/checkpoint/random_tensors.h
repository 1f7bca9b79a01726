// The tensors of a random model, and the law by which each element is drawn.
#pragma once

#include <vector>

#include "checkpoint/random_model.h"
#include "checkpoint/safetensors_writer.h"

namespace riverrun::checkpoint {

// Element at = min(ceiling, first + step * at + spread * unit): uniform noise about a constant or a ramp.
struct Law {
  double first = 0, spread = 0, step = 0, ceiling = 1e30;
};

struct RandomTensor {
  TensorSpec spec;
  Law law;
};

// InputError when `shape` names no generation that is known here.
std::vector<RandomTensor> random_tensors(const RandomModelShape& shape);

}  // namespace riverrun::checkpoint
