// The .st files of web-rwkv: official names but for some words, and the matrices of LoRA pairs transposed.
// RWKV-4 and 5.0 are there as in the official files. (A tuned state is transposed, too: alone in a file it
// cannot be told from an official one, so there it is taken for that.)
#include "checkpoint/naming.h"

namespace riverrun::checkpoint {
namespace {

// time_first stands for time_faaaa, which is used as it is; an official time_first (5.0, one number per head)
// is an exponent.
constexpr Rule kRules5[] = {
    {"blocks.#.att.time_first", "blocks.#.att.time_faaaa"},
    {"blocks.#.att.time_state", "=", Change::transposed},
};

constexpr Rule kRules6[] = {
    {"blocks.#.att.time_mix_{w1|w2}", "blocks.#.att.time_maa_{}", Change::transposed},
    {"blocks.#.{att|ffn}.time_mix_{x|w|k|v|r|g}", "blocks.#.{}.time_maa_{}"},
    {"blocks.#.att.time_decay_{w1|w2}", "=", Change::transposed},
    {"blocks.#.att.time_first", "blocks.#.att.time_faaaa"},
    {"blocks.#.att.time_state", "=", Change::transposed},
};

constexpr Rule kRules7[] = {
    {"blocks.#.att.{w|a|v|g}{1|2}", "=", Change::transposed},
    {"blocks.#.att.time_state", "=", Change::transposed},
};

bool recognises_5(const Contents& file) {
  const Tensor* const first = find_name(file, "blocks.#.att.time_first");
  const Tensor* const norm = find_name(file, "blocks.#.att.ln_x.weight");
  return first && norm && has_name(file, "blocks.#.att.gate.weight") && first->size() == norm->size() &&
         !has_name(file, "blocks.#.att.time_mix_w1");
}

bool recognises_6(const Contents& file) { return has_name(file, "blocks.#.att.time_mix_w1"); }

// All names are official ones; the shape of a LoRA matrix tells. (Inner sizes are far below the channels.)
bool recognises_7(const Contents& file) {
  const Tensor* const down = find_name(file, "blocks.#.att.w1");
  const Tensor* const embedding = find_name(file, "emb.weight");
  if (!down || !embedding || down->shape.size() != 2 || embedding->shape.size() != 2) return false;
  const Index channels = embedding->shape[1];
  return down->shape[1] == channels && down->shape[0] != channels;
}

}  // namespace

const Scheme kWebRwkv5 = {"web-rwkv RWKV-5", recognises_5, kRules5, nullptr, nullptr, &kOfficialNames};
const Scheme kWebRwkv6 = {"web-rwkv RWKV-6", recognises_6, kRules6, nullptr, nullptr, &kOfficialNames};
const Scheme kWebRwkv7 = {"web-rwkv RWKV-7", recognises_7, kRules7, nullptr, nullptr, &kOfficialNames};

}  // namespace riverrun::checkpoint
