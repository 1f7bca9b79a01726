// The names of the official .pth files, RWKV-4 to RWKV-7b, and of tuned initial states.
#include "checkpoint/naming.h"

namespace riverrun::checkpoint {
namespace {

constexpr Rule kOfficialRules[] = {
    {"{emb|head}.weight", "="},
    {"ln_out.{weight|bias}", "="},
    {"blocks.0.ln0.{weight|bias}", "="},
    {"blocks.#.{ln1|ln2}.{weight|bias}", "="},
    {"blocks.#.att.{receptance|key|value|gate|output}.weight", "="},
    {"blocks.#.att.ln_x.{weight|bias}", "="},
    {"blocks.#.ffn.{receptance|key|value}.weight", "="},
    // 4 and 5
    {"blocks.#.att.time_{decay|first|faaaa}", "="},
    {"blocks.#.{att|ffn}.time_mix_{k|v|r|g}", "="},
    // 6
    {"blocks.#.{att|ffn}.time_maa_{x|w|k|v|r|g|w1|w2}", "="},
    {"blocks.#.att.time_decay_{w1|w2}", "="},
    // 7; block 0 may have v0, v1 and v2, which no model reads
    {"blocks.#.att.x_{r|w|k|v|a|g}", "="},
    {"blocks.#.att.{w|a|v}0", "="},
    {"blocks.#.att.{w|a|v|g}{1|2}", "="},
    {"blocks.#.att.{k_k|k_a|r_k}", "="},
    {"blocks.#.ffn.x_k", "="},
    // 7a and 7b
    {"blocks.#.ffn.{s_emb|s_emb_x}.weight", "="},
    {"blocks.#.ffn.{s0|s1|s2}", "="},
    {"blocks.#.qkv.{qq|k_emb|k_emb_x|v_emb|v_emb_x}.weight", "="},
    {"blocks.#.qkv.{k1|k2|v1|v2|x_q|x_k|x_v}", "="},
    {"blocks.#.qkv.{lnq|lnk|lnv}.{weight|bias}", "="},
    // 8, which the model refuses
    {"blocks.#.ffn.enn.weight", "="},
    // a tuned state, alone or merged into a model
    {"blocks.#.att.time_state", "="},
};

bool recognises(const Contents& file) {
  for (const Scheme* const other : {&kWebRwkv5, &kWebRwkv6, &kWebRwkv7}) {  // they share most names
    if (other->recognises(file)) return false;
  }
  for (const Rule& rule : kOfficialRules) {
    if (rule.from != "{emb|head}.weight" && has_name(file, rule.from)) return true;
  }
  return has_name(file, "emb.weight");  // head.weight is in other namings, too
}

}  // namespace

const Scheme kOfficialNames = {"official", recognises, kOfficialRules};

}  // namespace riverrun::checkpoint
