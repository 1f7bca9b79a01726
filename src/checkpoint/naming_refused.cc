// Namings that are known, and why their files are not taken.
#include "checkpoint/naming.h"

namespace riverrun::checkpoint {

const Scheme kFlaRwkv6 = {"fla RWKV-6",
                          [](const Contents& file) {
                            return has_name(file,
                                            "model.layers.#.attn.{bonus|x_proj.0.mu|x_proj.0.linear.weight}");
                          },
                          {},
                          nullptr,
                          "fla keeps RWKV-6 mixing in another order and shape, and leaves out the epsilon of "
                          "its group norm; use the "
                          "official .pth, which it was converted from"};

const Scheme kFusedTransformersRwkv7 = {
    "early rwkv-rs RWKV-7",
    [](const Contents& file) { return has_name(file, "rwkv7.embeddings.weight"); },
    {},
    nullptr,
    "this short-lived conversion has rounded the embedding to fp16 with its LayerNorm applied; use the "
    "official "
    ".pth, which it was converted from"};

}  // namespace riverrun::checkpoint
