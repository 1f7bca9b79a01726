// RWKV-7 as converted for four other programs. The matrices of a LoRA pair keep the official orientation,
// [in, rank] and [rank, out], in all but fla, where they are weights of linear layers and so the other way
// round.
#include "checkpoint/naming.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

// A. The class Rwkv7ForCausalLM of transformers.
constexpr Rule kTransformersRules[] = {
    {"head.weight", "="},
    {"rwkv7.emb.weight", "emb.weight"},
    {"rwkv7.ln_out.{weight|bias}", "ln_out.{}"},
    {"rwkv7.blocks.0.ln0.{weight|bias}", "blocks.0.ln0.{}"},
    {"rwkv7.blocks.#.{ln1|ln2}.{weight|bias}", "blocks.#.{}.{}"},
    {"rwkv7.blocks.#.att.{receptance|key|value|output}.weight", "blocks.#.att.{}.weight"},
    {"rwkv7.blocks.#.att.ln_x.{weight|bias}", "blocks.#.att.ln_x.{}"},
    {"rwkv7.blocks.#.att.x_{r|w|k|v|a|g}", "blocks.#.att.x_{}"},
    {"rwkv7.blocks.#.att.{w|a|v}0", "blocks.#.att.{}0"},
    {"rwkv7.blocks.#.att.{w|a|v|g}{1|2}", "blocks.#.att.{}{}"},
    {"rwkv7.blocks.#.att.{k_k|k_a|r_k}", "blocks.#.att.{}"},
    {"rwkv7.blocks.#.ffn.x_k", "blocks.#.ffn.x_k"},
    {"rwkv7.blocks.#.ffn.{key|value}.weight", "blocks.#.ffn.{}.weight"},
};

// B. The class RWKV7ForCausalLM of flash-linear-attention. Its older files hold the six x_* in one tensor.
constexpr Rule kFlaRules[] = {
    {"model.embeddings.weight", "emb.weight"},
    {"lm_head.weight", "head.weight"},
    {"model.norm.{weight|bias}", "ln_out.{}"},
    {"model.layers.0.pre_norm.{weight|bias}", "blocks.0.ln0.{}"},
    {"model.layers.#.attn_norm.{weight|bias}", "blocks.#.ln1.{}"},
    {"model.layers.#.ffn_norm.{weight|bias}", "blocks.#.ln2.{}"},
    {"model.layers.#.attn.r_proj.weight", "blocks.#.att.receptance.weight"},
    {"model.layers.#.attn.k_proj.weight", "blocks.#.att.key.weight"},
    {"model.layers.#.attn.v_proj.weight", "blocks.#.att.value.weight"},
    {"model.layers.#.attn.o_proj.weight", "blocks.#.att.output.weight"},
    {"model.layers.#.attn.g_norm.{weight|bias}", "blocks.#.att.ln_x.{}"},
    {"model.layers.#.attn.{w|a|v|g}_lora.lora.0.weight", "blocks.#.att.{}1", Change::transposed},
    {"model.layers.#.attn.{w|a|v|g}_lora.lora.2.weight", "blocks.#.att.{}2", Change::transposed},
    {"model.layers.#.attn.{w|a|v}_lora.lora.2.bias", "blocks.#.att.{}0"},
    {"model.layers.#.attn.x_x", "blocks.#.att.x_{r|w|k|v|a|g}", Change::stacked},
    {"model.layers.#.attn.x_{r|w|k|v|a|g}", "blocks.#.att.x_{}"},
    {"model.layers.#.attn.{k_k|k_a|r_k}", "blocks.#.att.{}"},
    {"model.layers.#.ffn.x_k", "blocks.#.ffn.x_k"},
    {"model.layers.#.ffn.{key|value}.weight", "blocks.#.ffn.{}.weight"},
};

// C. The safetensors of rwkv-rs, model_type "rwkv" with architecture_version "rwkv7".
constexpr Rule kRwkvRsRules[] = {
    {"model.embed_tokens.weight", "emb.weight"},
    {"lm_head.weight", "head.weight"},
    {"model.norm.{weight|bias}", "ln_out.{}"},
    {"model.embedding_norm.{weight|bias}", "blocks.0.ln0.{}"},
    {"model.layers.#.input_layernorm.{weight|bias}", "blocks.#.ln1.{}"},
    {"model.layers.#.post_attention_layernorm.{weight|bias}", "blocks.#.ln2.{}"},
    {"model.layers.#.linear_attn.r_proj.weight", "blocks.#.att.receptance.weight"},
    {"model.layers.#.linear_attn.k_proj.weight", "blocks.#.att.key.weight"},
    {"model.layers.#.linear_attn.v_proj.weight", "blocks.#.att.value.weight"},
    {"model.layers.#.linear_attn.o_proj.weight", "blocks.#.att.output.weight"},
    {"model.layers.#.linear_attn.g_norm.{weight|bias}", "blocks.#.att.ln_x.{}"},
    {"model.layers.#.linear_attn.{w|a|v}0", "blocks.#.att.{}0"},
    {"model.layers.#.linear_attn.{w|a|v|g}{1|2}", "blocks.#.att.{}{}"},
    {"model.layers.#.linear_attn.x_{r|w|k|v|a|g}", "blocks.#.att.x_{}"},
    {"model.layers.#.linear_attn.{k_k|k_a|r_k}", "blocks.#.att.{}"},
    {"model.layers.#.mlp.x_k", "blocks.#.ffn.x_k"},
    {"model.layers.#.mlp.{key|value}.weight", "blocks.#.ffn.{}.weight"},
};

// Its converter may apply ln0 to the embedding, and then leaves ln0 out. Applied twice or never, the model
// still talks, but worse; so both signs must agree where both are there.
void finish_rwkv_rs(const Contents& file, std::map<std::string, Tensor>& official, Extras& extras) {
  const bool has_norm = official.contains("blocks.0.ln0.weight");
  extras.embedding_normalized = file.facts.embedding_normalized.value_or(!has_norm);
  RR_CHECK_INPUT(extras.embedding_normalized != has_norm, file.path, ": the config.json beside it says that ",
                 "embedding_layer_norm_fused is ", has_norm ? "true" : "false",
                 ", but model.embedding_norm.weight is ", has_norm ? "there" : "missing",
                 "; one of the two files belongs to another model");
}

// D. The class Rwkv7ForCausalLM of RWKV-World-HF-Tokenizer.
constexpr Rule kWorldHfRules[] = {
    {"model.embeddings.weight", "emb.weight"},
    {"head.weight", "="},
    {"model.ln_out.{weight|bias}", "ln_out.{}"},
    {"model.pre_ln.{weight|bias}", "blocks.0.ln0.{}"},
    {"model.blocks.#.{ln1|ln2}.{weight|bias}", "blocks.#.{}.{}"},
    {"model.blocks.#.attention.{receptance|key|value|output}.weight", "blocks.#.att.{}.weight"},
    {"model.blocks.#.attention.ln_x.{weight|bias}", "blocks.#.att.ln_x.{}"},
    {"model.blocks.#.attention.{w|a|v}0", "blocks.#.att.{}0"},
    {"model.blocks.#.attention.{w|a|v|g}{1|2}", "blocks.#.att.{}{}"},
    {"model.blocks.#.attention.x_{r|w|k|v|a|g}", "blocks.#.att.x_{}"},
    {"model.blocks.#.attention.{k_k|k_a|r_k}", "blocks.#.att.{}"},
    {"model.blocks.#.feed_forward.x_k", "blocks.#.ffn.x_k"},
    {"model.blocks.#.feed_forward.{key|value}.weight", "blocks.#.ffn.{}.weight"},
};

}  // namespace

const Scheme kTransformersRwkv7 = {"transformers RWKV-7",
                                   [](const Contents& file) {
                                     return has_name(file, "rwkv7.blocks.#.att.{k_k|k_a|r_k}") &&
                                            !has_name(file, "rwkv7.embeddings.weight");
                                   },
                                   kTransformersRules};

const Scheme kFlaRwkv7 = {
    "fla RWKV-7", [](const Contents& file) { return has_name(file, "model.layers.#.attn.{k_k|k_a|r_k}"); },
    kFlaRules};

const Scheme kRwkvRsRwkv7 = {
    "rwkv-rs RWKV-7",
    [](const Contents& file) { return has_name(file, "model.layers.#.linear_attn.{k_k|k_a|r_k}"); },
    kRwkvRsRules, finish_rwkv_rs};

const Scheme kWorldHfRwkv7 = {
    "RWKV-World-HF RWKV-7",
    [](const Contents& file) { return has_name(file, "model.blocks.#.attention.{k_k|k_a|r_k}"); },
    kWorldHfRules};

}  // namespace riverrun::checkpoint
