// Generation: what the registry knows of each RWKV generation.
#pragma once

#include <memory>

#include "model/model.h"

namespace riverrun::model {

struct LoadArgs {
  const checkpoint::Checkpoint& file;
  const Config& config;
  const kernels::KernelTable& kernels;
  Stream stream;
  DType operand;         // of matrix products
  DType weights;         // of the large matrices: `operand` or i8
  bool need_head;        // pack the head
  const State* initial;  // a tuned initial state, or null
  WeightStorage& storage;
};

struct Generation {
  const char* name;
  bool tunable;  // whether a checkpoint of this generation may bring an initial state
  // Completes what read_shared_config has read. InputError when names and shapes do not make up such a model.
  void (*complete_config)(const checkpoint::Checkpoint& file, Config& config);
  StateShape (*state_shape)(const Config& config);
  Cost (*cost)(const Config& config, DType operand, DType weights);
  std::unique_ptr<Model> (*load)(const LoadArgs& args);
};

// Everything that all generations have: L, D, V, F, the type of the weights, whether there is a head.
Config read_shared_config(const checkpoint::Checkpoint& file, const std::string& generation);

// One dimension of a matrix. InputError when there is none of that name and rank, or it is empty.
Index dimension(const checkpoint::Checkpoint& file, const char* tensor, std::size_t axis);

// Sets H and N of a model whose `tensor` names H alone, or is [H, N]. InputError when they do not make up D.
void set_heads(const checkpoint::Checkpoint& file, const char* tensor, Index heads, Config& config);
void set_heads_by_shape(const checkpoint::Checkpoint& file, const char* tensor, Config& config);

// The state of RWKV-5 to 7: H heads of [value][key].
StateShape head_state_shape(const Config& config);

// What one layer of a generation takes.
struct LayerCost {
  double matrix_elements;     // of its products
  double state_flops;         // one token of the recurrence
  Index float_width;          // fp32 numbers per token in the workspace
  Index operand_width;        // numbers of the operand type per token in the workspace
  double table_elements = 0;  // of what is looked up by token
  double small_elements = 0;  // of matrix_elements: what keeps the operand type when weights are int8
  double vector_elements = 0; // fp32: norms, lerps, biases
  Index inner_width = 0;      // of operand_width: the row that products with a function write
};
Cost make_cost(const Config& config, DType operand, DType weights, const LayerCost& layer);

}  // namespace riverrun::model
