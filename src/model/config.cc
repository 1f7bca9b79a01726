#include "model/config.h"

#include <charconv>
#include <set>

#include "core/error.h"

namespace riverrun::model {

std::string detect_generation(const checkpoint::Checkpoint& file) {
  const auto has = [&](const char* name) { return file.find(name) != nullptr; };
  RR_CHECK_INPUT(has("emb.weight"), file.path(), ": there is no tensor emb.weight, so these are not RWKV weights in the official names");
  RR_CHECK_INPUT(!has("blocks.0.qkv.qq.weight"), file.path(),
                 ": this is an RWKV-7b (DEA) checkpoint: its attention cache grows with the text, so there is no compact state to hand on");
  RR_CHECK_INPUT(!has("blocks.0.ffn.s_emb.weight"), file.path(), ": RWKV-7a (DeepEmbed) checkpoints are not supported yet");
  if (has("blocks.0.att.r_k") || has("blocks.0.att.k_k")) return "rwkv7";
  if (has("blocks.0.att.time_maa_w1")) return "rwkv6";
  if (has("blocks.0.att.gate.weight") || has("blocks.0.att.ln_x.weight")) return "rwkv5";
  if (has("blocks.0.att.time_mix_k")) return "rwkv4";
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

}  // namespace riverrun::model
