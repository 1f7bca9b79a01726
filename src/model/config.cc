#include "model/config.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "core/error.h"
#include "model/generation.h"

namespace riverrun::model {

namespace {

// Whether some block has a tensor whose name, after its number, is or begins with `name`.
bool any_block_has(const checkpoint::Checkpoint& file, const std::string& name) {
  const std::string prefix = "blocks.";
  return std::any_of(file.tensors().begin(), file.tensors().end(), [&](const auto& entry) {
    const std::string& full = entry.first;
    if (full.compare(0, prefix.size(), prefix) != 0) return false;
    const auto dot = full.find('.', prefix.size());
    return dot != std::string::npos && full.compare(dot + 1, name.size(), name) == 0;
  });
}

// Generations whose memory of the past grows with it: nothing compact could be handed on.
void refuse_growing_states(const checkpoint::Checkpoint& file) {
  RR_CHECK_INPUT(!any_block_has(file, "qkv.qq."), file.path(),
                 ": this is an RWKV-7b (DEA) checkpoint: its attention cache grows with the text, so there is no compact state to"
                 " hand on, and riverrun cannot run it");
  RR_CHECK_INPUT(!any_block_has(file, "ffn.enn."), file.path(),
                 ": this is an RWKV-8 checkpoint (ffn.enn); its published forms keep a cache that grows with the text, and riverrun"
                 " does not run them");
  for (const auto& [name, tensor] : file.tensors()) {
    RR_CHECK_INPUT(name.find("rosa") == std::string::npos, file.path(), ": tensor ", name,
                   " is of a ROSA model: what it looks up grows with the text, so there is no compact state to hand on, and"
                   " riverrun cannot run it");
  }
}

// RWKV-5.1 stores one decay per head, [H] or [H, 1, 1]; 5.2 one per channel, [H, N]. Where N is 1 the two are the same.
std::string detect_gated_rwkv5(const checkpoint::Checkpoint& file) {
  const checkpoint::Tensor& decay = *file.find("blocks.0.att.time_decay");
  const Index D = dimension(file, "emb.weight", 1);
  const bool pairs = decay.shape.size() == 2 || (decay.shape.size() > 2 && decay.shape[1] > 1);
  return pairs && decay.size() == D ? "rwkv5.2" : "rwkv5.1";
}

}  // namespace

std::string detect_generation(const checkpoint::Checkpoint& file) {
  refuse_growing_states(file);
  RR_CHECK_INPUT(file.find("emb.weight") != nullptr, file.path(),
                 ": there is no tensor emb.weight, so these are not RWKV weights in the official names");
  const auto has = [&](const char* name) { return any_block_has(file, name); };
  if (has("att.r_k") || has("att.k_k")) return has("ffn.s_emb.weight") ? "rwkv7a" : "rwkv7";
  if (has("att.time_maa_w1")) return "rwkv6";
  if (has("att.time_decay")) {
    RR_CHECK_INPUT(file.find("blocks.0.att.time_decay") != nullptr, file.path(), ": there is no tensor blocks.0.att.time_decay");
    if (has("att.gate.weight")) return detect_gated_rwkv5(file);
    return has("att.ln_x.weight") ? "rwkv5.0" : "rwkv4";
  }
  throw InputError(file.path() + ": the tensor names are of no RWKV generation known here (4, 5, 6 or 7)");
}

Index count_layers(const checkpoint::Checkpoint& file) {
  std::set<Index> seen;
  const std::string prefix = "blocks.";
  for (const auto& [name, tensor] : file.tensors()) {
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    Index layer = -1;
    const char* const begin = name.data() + prefix.size();
    const auto [end, error] = std::from_chars(begin, name.data() + name.size(), layer);
    RR_CHECK_INPUT(error == std::errc() && layer >= 0 && end != name.data() + name.size() && *end == '.',
                   file.path(), ": tensor name ", name, " has no block number");
    seen.insert(layer);
  }
  RR_CHECK_INPUT(!seen.empty(), file.path(), ": there are no blocks.* tensors");
  const Index layers = *seen.rbegin() + 1;
  RR_CHECK_INPUT(static_cast<Index>(seen.size()) == layers, file.path(), ": the highest block is ", layers - 1, " but only ",
                 seen.size(), " of ", layers, " blocks are there");
  return layers;
}

Index dimension(const checkpoint::Checkpoint& file, const char* tensor, std::size_t axis) {
  const auto& shape = file.require(tensor, {-1, -1}).shape;
  RR_CHECK_INPUT(shape[axis] > 0, file.path(), ": ", tensor, " is ", checkpoint::shape_text(shape), ", which is empty");
  return shape[axis];
}

Config read_shared_config(const checkpoint::Checkpoint& file, const std::string& generation) {
  Config config;
  config.generation = generation;
  config.layers = count_layers(file);
  config.vocab = dimension(file, "emb.weight", 0);
  config.channels = dimension(file, "emb.weight", 1);
  config.weights = file.find("emb.weight")->dtype;
  config.ffn = dimension(file, "blocks.0.ffn.key.weight", 0);
  config.has_head = file.find("head.weight") != nullptr;
  for (const auto& [name, tensor] : file.tensors()) config.parameters += tensor.size();
  return config;
}

void set_heads(const checkpoint::Checkpoint& file, const char* tensor, Index heads, Config& config) {
  RR_CHECK_INPUT(heads > 0 && config.channels % heads == 0, file.path(), ": ", tensor, " has ", heads,
                 " heads, which cannot share the ", config.channels, " channels of emb.weight evenly");
  config.heads = heads;
  config.head_size = config.channels / heads;
}

void set_heads_by_shape(const checkpoint::Checkpoint& file, const char* tensor, Config& config) {
  const Index H = dimension(file, tensor, 0), N = dimension(file, tensor, 1);
  RR_CHECK_INPUT(H <= config.channels && N == config.channels / H && config.channels % H == 0, file.path(), ": ", tensor, " is [",
                 H, ", ", N, "], which does not make up the ", config.channels, " channels of emb.weight");
  config.heads = H, config.head_size = N;
}

StateShape head_state_shape(const Config& config) {
  return {config.layers, config.heads, config.head_size * config.head_size, config.channels};
}

Cost make_cost(const Config& config, DType operand, DType weights, const LayerCost& layer) {
  constexpr Index kOuterVectors = 4;  // weight and bias of ln0 and ln_out
  const double L = static_cast<double>(config.layers), table = static_cast<double>(config.channels) * config.vocab;
  const double head = config.has_head ? table : 0;
  Cost cost;
  cost.layer_flops = 2 * L * layer.matrix_elements;
  cost.state_flops = L * layer.state_flops;
  cost.head_flops = 2 * table;
  cost.head_bytes = static_cast<Index>(head) * size_of(weights);
  cost.weight_bytes = static_cast<Index>(L * (layer.matrix_elements - layer.small_elements) + head) * size_of(weights) +
                      static_cast<Index>(L * layer.small_elements) * size_of(operand) +
                      static_cast<Index>(L * layer.table_elements + table) * size_of(config.weights) +
                      static_cast<Index>(L * layer.vector_elements + kOuterVectors * config.channels) * Index{sizeof(float)};
  // In 16 bits the function is taken of the sums in fp32.
  cost.product_bytes = size_of(operand) == 2 ? layer.inner_width * Index{sizeof(float)} : 0;
  cost.activation_bytes = layer.float_width * Index{sizeof(float)} + layer.operand_width * size_of(operand);
  return cost;
}

}  // namespace riverrun::model
