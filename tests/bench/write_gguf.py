"""write_gguf.py MODEL.safetensors VOCABULARY OUT.gguf: an RWKV-7 checkpoint in the official names as llama.cpp reads it.

Names, transposed LoRA matrices, the fused lerps and which tensors stay fp32 are those of llama.cpp's own converter.
"""

import ast
import json
import sys

import gguf
import numpy as np

NAMES = {
    "emb.weight": "token_embd.weight",
    "blocks.0.ln0.weight": "token_embd_norm.weight",
    "blocks.0.ln0.bias": "token_embd_norm.bias",
    "ln_out.weight": "output_norm.weight",
    "ln_out.bias": "output_norm.bias",
    "head.weight": "output.weight",
}
IN_BLOCK = {
    "ln1": "attn_norm", "ln2": "attn_norm_2", "att.ln_x": "time_mix_ln", "att.receptance": "time_mix_receptance",
    "att.key": "time_mix_key", "att.value": "time_mix_value", "att.output": "time_mix_output", "att.k_k": "time_mix_k_k",
    "att.k_a": "time_mix_k_a", "att.r_k": "time_mix_r_k", "ffn.x_k": "channel_mix_lerp_k", "ffn.key": "channel_mix_key",
    "ffn.value": "channel_mix_value",
}
LORAS = [letter + number for letter in "wavg" for number in "012"]
LERPS = ["x_r", "x_w", "x_k", "x_v", "x_a", "x_g"]
BF16 = gguf.GGMLQuantizationType.BF16


class Checkpoint:
    """Tensors of a bf16 safetensors file, as uint16."""

    def __init__(self, path):
        data = np.memmap(path, np.uint8, "r")
        length = int(data[:8].view(np.uint64)[0])
        header = json.loads(bytes(data[8 : 8 + length]))
        header.pop("__metadata__", None)
        self.tensors = {}
        for name, entry in header.items():
            if entry["dtype"] != "BF16":
                raise SystemExit(f"{path}: {name} is {entry['dtype']}; this script takes bf16 checkpoints")
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            self.tensors[name] = np.frombuffer(data[begin:end].tobytes(), np.uint16).reshape(entry["shape"])
        self.layers = 1 + max(int(name.split(".")[1]) for name in self.tensors if name.startswith("blocks."))

    def squeezed(self, name):
        return np.squeeze(self.tensors[name])


def as_f32(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def add(writer, name, bits):
    """Vectors, and the two matrices of the decay, stay fp32 in llama.cpp's files; other matrices are bf16."""
    if bits.ndim == 1 or name.endswith(("time_mix_w1.weight", "time_mix_w2.weight", "lerp_fused.weight")):
        writer.add_tensor(name, as_f32(bits))
    else:
        writer.add_tensor(name, np.ascontiguousarray(bits).view(np.uint8), raw_dtype=BF16)


def add_block(writer, file, layer):
    source, target = f"blocks.{layer}.", f"blk.{layer}."
    add(writer, target + "time_mix_lerp_fused.weight",
        np.stack([file.squeezed(f"{source}att.{name}") for name in LERPS])[:, None, None, :])
    for lora in LORAS:
        # Layer 0 has no value LoRA; llama.cpp wants something of the rate LoRA's shape there and never reads it.
        name = source + "att." + (lora.replace("v", "a") if layer == 0 else lora)
        if name not in file.tensors:
            continue  # g0
        bits = file.squeezed(name)
        add(writer, f"{target}time_mix_{lora}.weight", bits.T if bits.ndim == 2 else bits)
    for ours, theirs in IN_BLOCK.items():
        for suffix in ("", ".weight", ".bias"):
            if source + ours + suffix not in file.tensors:
                continue
            bits = file.squeezed(source + ours + suffix)
            add(writer, target + theirs + (suffix or ".weight"), bits.ravel() if ours == "att.r_k" else bits)


def add_sizes(writer, file):
    shape = {name: file.squeezed("blocks.1.att." + name).shape for name in ("w1", "a1", "v1", "g1", "r_k")}
    channels = file.tensors["emb.weight"].shape[1]
    writer.add_context_length(1048576)
    writer.add_embedding_length(channels)
    writer.add_block_count(file.layers)
    writer.add_feed_forward_length(file.tensors["blocks.0.ffn.key.weight"].shape[0])
    writer.add_layer_norm_eps(1e-5)
    writer.add_head_count(0)
    writer.add_wkv_head_size(shape["r_k"][-1] if len(shape["r_k"]) == 2 else channels)
    writer.add_decay_lora_rank(shape["w1"][1])
    writer.add_iclr_lora_rank(shape["a1"][1])
    writer.add_value_residual_mix_lora_rank(shape["v1"][1])
    writer.add_gate_lora_rank(shape["g1"][1])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)


def add_vocabulary(writer, path, rows):
    tokens, types = [b"<s>"], [gguf.TokenType.CONTROL]
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            token = ast.literal_eval(line[line.index(" ") + 1 : line.rindex(" ")])
            token = token.encode("utf-8") if isinstance(token, str) else token
            tokens.append(repr(token)[2:-1].encode("utf-8"))
            types.append(gguf.TokenType.NORMAL)
    for index in range(len(tokens), rows):
        tokens.append(f"[PAD{index}]".encode("utf-8"))
        types.append(gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def main():
    model, vocabulary, out = sys.argv[1:]
    file = Checkpoint(model)
    writer = gguf.GGUFWriter(out, "rwkv7")
    add_sizes(writer, file)
    add_vocabulary(writer, vocabulary, file.tensors["emb.weight"].shape[0])
    for ours, theirs in NAMES.items():
        add(writer, theirs, file.tensors[ours])
    for layer in range(file.layers):
        add_block(writer, file, layer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
