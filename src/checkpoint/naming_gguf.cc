// The names that llama.cpp's converter gives to RWKV-6 and RWKV-7 in GGUF files, and what it changes: LoRA
// matrices are transposed, lerps stacked, r_k is flat, and RWKV-6 is rescaled for fp16. LN0 is a tensor of
// its own in both.
#include <charconv>
#include <cmath>

#include "checkpoint/layout.h"
#include "checkpoint/naming.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

// What time_mix_w1 and time_mix_w2 are differs: matrices of the lerps in RWKV-6, of the decay in RWKV-7.
constexpr Rule kRwkv6Rules[] = {
    {"token_embd.weight", "emb.weight"},
    {"token_embd_norm.{weight|bias}", "blocks.0.ln0.{}"},
    {"output_norm.{weight|bias}", "ln_out.{}"},
    {"output.weight", "head.weight"},
    {"blk.#.attn_norm.{weight|bias}", "blocks.#.ln1.{}"},
    {"blk.#.attn_norm_2.{weight|bias}", "blocks.#.ln2.{}"},
    {"blk.#.time_mix_{receptance|key|value|gate|output}.weight", "blocks.#.att.{}.weight"},
    {"blk.#.time_mix_ln.{weight|bias}", "blocks.#.att.ln_x.{}"},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.time_maa_{w|k|v|r|g}", Change::stacked},
    {"blk.#.time_mix_lerp_{x|w|k|v|r|g}.weight", "blocks.#.att.time_maa_{}"},  // one by one in older files
    {"blk.#.time_mix_{w1|w2}.weight", "blocks.#.att.time_maa_{}", Change::transposed},
    {"blk.#.time_mix_first.weight", "blocks.#.att.time_faaaa"},
    {"blk.#.time_mix_decay.weight", "blocks.#.att.time_decay"},
    {"blk.#.time_mix_decay_{w1|w2}.weight", "blocks.#.att.time_decay_{}", Change::transposed},
    {"blk.#.channel_mix_{receptance|key|value}.weight", "blocks.#.ffn.{}.weight"},
    {"blk.#.channel_mix_lerp_{k|r}.weight", "blocks.#.ffn.time_maa_{}"},
};

constexpr Rule kRwkv7Rules[] = {
    {"token_embd.weight", "emb.weight"},
    {"token_embd_norm.{weight|bias}", "blocks.0.ln0.{}"},
    {"output_norm.{weight|bias}", "ln_out.{}"},
    {"output.weight", "head.weight"},
    {"blk.#.attn_norm.{weight|bias}", "blocks.#.ln1.{}"},
    {"blk.#.attn_norm_2.{weight|bias}", "blocks.#.ln2.{}"},
    {"blk.#.time_mix_{receptance|key|value|output}.weight", "blocks.#.att.{}.weight"},
    {"blk.#.time_mix_ln.{weight|bias}", "blocks.#.att.ln_x.{}"},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.x_{r|w|k|v|a|g}", Change::stacked},
    {"blk.0.time_mix_{v0|v1|v2}.weight", "", Change::dropped},  // copies of a0, a1, a2 that fill a hole
    {"blk.#.time_mix_{w|a|v}0.weight", "blocks.#.att.{}0"},
    {"blk.#.time_mix_{w|a|v|g}{1|2}.weight", "blocks.#.att.{}{}", Change::transposed},
    {"blk.#.time_mix_{k_k|k_a|r_k}.weight", "blocks.#.att.{}"},
    {"blk.#.channel_mix_{key|value}.weight", "blocks.#.ffn.{}.weight"},
    {"blk.#.channel_mix_lerp_k.weight", "blocks.#.ffn.x_k"},
};

// Views a vector of all channels as [heads, head size].
void split_heads(const Contents& file, Tensor& tensor) {
  std::vector<Index> shape, strides;
  for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
    if (tensor.shape[d] != 1) shape.push_back(tensor.shape[d]), strides.push_back(tensor.strides[d]);
  }
  if (shape.size() != 1) return;
  const Index head_size = file.facts.head_size;
  RR_CHECK_INPUT(head_size > 0 && shape[0] % head_size == 0, file.path, ": tensor ", tensor.name,
                 " of shape ", shape_text(tensor.shape), " cannot be cut into heads of ", head_size, " (",
                 file.facts.architecture, ".wkv.head_size)");
  tensor.shape = {shape[0] / head_size, head_size};
  tensor.strides = {head_size * strides[0], strides[0]};
}

// The converter divides the two matrices that write to the residual stream of block l by 2^(l / every), which
// is exact, and the program that runs the file halves the stream after every so many blocks. Nothing is
// rescaled here.
void undo_rescaling(const Contents& file, Index block, Tensor& tensor) {
  constexpr Index kMost = 64;  // powers of two that any element type has room for
  const Index every = file.facts.rescale_every;
  if (every == 0 || block < every) return;
  RR_CHECK_INPUT(block / every <= kMost, file.path, ": tensor ", tensor.name,
                 " would be rescaled by 2 to the power of ", block / every, " (rescale_every_n_layers is ",
                 every, ")");
  RR_CHECK_INPUT(tensor.dtype == DType::f32 || tensor.dtype == DType::bf16 || tensor.dtype == DType::f16,
                 file.path, ": tensor ", tensor.name, " has elements of type ", name_of(tensor.dtype),
                 ", not fp32, bf16 or fp16");
  tensor.scale = std::ldexp(1.0f, static_cast<int>(block / every));
}

Index block_of(const std::string& name) {
  constexpr std::string_view kPrefix = "blocks.";
  Index block = 0;
  if (name.starts_with(kPrefix))
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), block);
  return block;
}

void finish_rwkv6(const Contents& file, std::map<std::string, Tensor>& official, Extras&) {
  for (auto& [name, tensor] : official) {
    if (name.ends_with(".att.time_faaaa")) split_heads(file, tensor);
    if (name.ends_with(".att.output.weight") || name.ends_with(".ffn.value.weight")) {
      undo_rescaling(file, block_of(name), tensor);
    }
  }
}

void finish_rwkv7(const Contents& file, std::map<std::string, Tensor>& official, Extras&) {
  for (auto& [name, tensor] : official) {
    if (name.ends_with(".att.r_k")) split_heads(file, tensor);
  }
}

}  // namespace

const Scheme kGgufRwkv6Names = {"gguf rwkv6",
                                [](const Contents& file) { return file.facts.architecture == "rwkv6"; },
                                kRwkv6Rules, finish_rwkv6};
const Scheme kGgufRwkv7Names = {"gguf rwkv7",
                                [](const Contents& file) { return file.facts.architecture == "rwkv7"; },
                                kRwkv7Rules, finish_rwkv7};

}  // namespace riverrun::checkpoint
