#include "model/device_memory.h"

#include "model/network.h"

namespace riverrun::model {

namespace {

constexpr Index kLibraries = Index{256} << 20;

// Of a workspace, beside what it holds for each row.
Index workspace_bytes(const Config& config) { return (config.channels + kLogitRows) * Index{sizeof(float)}; }

}  // namespace

DeviceMemory device_memory(const Config& config, DType operand, DType weights, bool need_head, const Use& use) {
  const Cost cost = estimate_cost(config, operand, weights);
  const Index row_bytes = cost.activation_bytes + Index{sizeof(TokenId)}, hidden_bytes = config.channels * Index{sizeof(float)};
  DeviceMemory memory;
  memory.weights = cost.weight_bytes - (need_head ? 0 : cost.head_bytes);
  if (use.block_tokens > 0) {
    memory.reading = workspace_bytes(config) + (use.scores ? kLogitRows * config.vocab * Index{sizeof(float)} : 0);
    memory.reading_token = row_bytes + cost.product_bytes + (use.means ? hidden_bytes : 0);
  }
  if (use.texts > 0) {
    const Index logits = config.vocab * Index{sizeof(float)};
    memory.writing = workspace_bytes(config) + use.text_rows * row_bytes + use.texts * (state_shape(config).bytes() + logits);
  }
  memory.reading *= use.ranks, memory.reading_token *= use.ranks, memory.writing *= use.ranks;
  memory.libraries = kLibraries;
  return memory;
}

}  // namespace riverrun::model
