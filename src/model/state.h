// State: what a model hands from token to token, and its place in memory.
#pragma once

#include <algorithm>

#include "core/buffer.h"
#include "core/types.h"

namespace riverrun::model {

// Per layer: `parts` independent pieces of the recurrent state (heads, each [value][key]; in RWKV-4 channels, each
// [a, b, p] of kernels/wkv4.h; fp32) and two rows of D fp32, the LayerNorm outputs of the last token before time mix and
// before channel mix.
struct StateShape {
  Index layers = 0;
  Index parts = 0;         // H; D for RWKV-4
  Index part_floats = 0;   // N * N; 3 for RWKV-4
  Index row_floats = 0;    // D

  Index state_floats() const { return parts * part_floats; }
  Index layer_floats() const { return state_floats() + 2 * row_floats; }
  Index bytes() const { return layers * layer_floats() * Index{sizeof(float)}; }
};

// The state of every layer after some token of one document. In shared memory it starts as zeros: the state before the
// first token.
class State {
 public:
  explicit State(const StateShape& shape, Device& device = host_device(), Memory memory = Memory::shared)
      : shape_(shape), values_(shape.layers * shape.layer_floats(), device, memory) {
    if (memory == Memory::shared) std::ranges::fill(values_.span(), 0.0f);
  }

  const StateShape& shape() const { return shape_; }
  float* parts(Index layer) const { return values_.data() + layer * shape_.layer_floats(); }
  float* time_row(Index layer) const { return parts(layer) + shape_.state_floats(); }
  float* channel_row(Index layer) const { return time_row(layer) + shape_.row_floats; }
  std::span<float> values() const { return values_.span(); }  // reached by the host in shared memory

 private:
  StateShape shape_;
  Array<float> values_;
};

}  // namespace riverrun::model
