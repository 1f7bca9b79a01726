// RWKV-4 in transformers' RwkvForCausalLM, and RWKV-5 and 6 in the Rwkv5ForCausalLM and Rwkv6ForCausalLM that
// Hub repositories bring along: other names, the same tensors.
#include "checkpoint/naming.h"

namespace riverrun::checkpoint {
namespace {

constexpr Rule kRwkv4Rules[] = {
    {"rwkv.embeddings.weight", "emb.weight"},
    {"head.weight", "="},
    {"rwkv.ln_out.{weight|bias}", "ln_out.{}"},
    {"rwkv.blocks.0.pre_ln.{weight|bias}", "blocks.0.ln0.{}"},
    {"rwkv.blocks.#.{ln1|ln2}.{weight|bias}", "blocks.#.{}.{}"},
    {"rwkv.blocks.#.attention.{receptance|key|value|gate|output}.weight", "blocks.#.att.{}.weight"},
    {"rwkv.blocks.#.attention.ln_x.{weight|bias}", "blocks.#.att.ln_x.{}"},
    {"rwkv.blocks.#.feed_forward.{receptance|key|value}.weight", "blocks.#.ffn.{}.weight"},
    {"rwkv.blocks.#.attention.time_{decay|first|faaaa}", "blocks.#.att.time_{}"},
    {"rwkv.blocks.#.attention.time_mix_key", "blocks.#.att.time_mix_k"},
    {"rwkv.blocks.#.attention.time_mix_value", "blocks.#.att.time_mix_v"},
    {"rwkv.blocks.#.attention.time_mix_receptance", "blocks.#.att.time_mix_r"},
    {"rwkv.blocks.#.attention.time_mix_gate", "blocks.#.att.time_mix_g"},
    {"rwkv.blocks.#.feed_forward.time_mix_key", "blocks.#.ffn.time_mix_k"},
    {"rwkv.blocks.#.feed_forward.time_mix_receptance", "blocks.#.ffn.time_mix_r"},
    {"rwkv.blocks.#.attention.time_maa_{x|w|k|v|r|g|w1|w2}", "blocks.#.att.time_maa_{}"},
    {"rwkv.blocks.#.attention.time_decay_{w1|w2}", "blocks.#.att.time_decay_{}"},
    {"rwkv.blocks.#.feed_forward.time_maa_{k|r}", "blocks.#.ffn.time_maa_{}"},
};

}  // namespace

const Scheme kTransformersRwkv = {
    "transformers RWKV-4, 5, 6",
    [](const Contents& file) { return has_name(file, "rwkv.blocks.#.attention.time_decay"); }, kRwkv4Rules};

}  // namespace riverrun::checkpoint
