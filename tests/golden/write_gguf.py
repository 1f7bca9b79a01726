#!/usr/bin/env python3
"""Writes an RWKV-6 or RWKV-7 checkpoint in the official names as llama.cpp reads it; needs numpy and gguf (PyPI).

usage: write_gguf.py MODEL.safetensors|MODEL.pth VOCABULARY OUT.gguf [bf16|fp32]

Names, transposed LoRA matrices, fused lerps, RWKV-6's rescaling and which tensors stay fp32 are those of llama.cpp's own
converter; matrices are bf16 unless said otherwise.
"""

import ast
import json
import pickle
import sys
import zipfile

import gguf
import numpy as np

F32, BF16 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.BF16

NAMES = {
    "emb.weight": "token_embd.weight",
    "blocks.0.ln0.weight": "token_embd_norm.weight",
    "blocks.0.ln0.bias": "token_embd_norm.bias",
    "ln_out.weight": "output_norm.weight",
    "ln_out.bias": "output_norm.bias",
    "head.weight": "output.weight",
}
# Tensors of a block, with or without .weight or .bias behind their names.
COMMON = {
    "ln1": "attn_norm", "ln2": "attn_norm_2", "att.ln_x": "time_mix_ln", "att.receptance": "time_mix_receptance",
    "att.key": "time_mix_key", "att.value": "time_mix_value", "att.output": "time_mix_output", "ffn.key": "channel_mix_key",
    "ffn.value": "channel_mix_value",
}
RWKV6 = COMMON | {
    "att.gate": "time_mix_gate", "att.time_maa_x": "time_mix_lerp_x", "att.time_maa_w1": "time_mix_w1",
    "att.time_maa_w2": "time_mix_w2", "att.time_decay": "time_mix_decay", "att.time_decay_w1": "time_mix_decay_w1",
    "att.time_decay_w2": "time_mix_decay_w2", "att.time_faaaa": "time_mix_first", "ffn.time_maa_k": "channel_mix_lerp_k",
    "ffn.time_maa_r": "channel_mix_lerp_r", "ffn.receptance": "channel_mix_receptance",
}
RWKV7_LORAS = [letter + number for letter in "wavg" for number in "012" if letter + number != "g0"]
RWKV7 = COMMON | {"att.k_k": "time_mix_k_k", "att.k_a": "time_mix_k_a", "att.r_k": "time_mix_r_k",
                  "ffn.x_k": "channel_mix_lerp_k"} | {"att." + lora: "time_mix_" + lora for lora in RWKV7_LORAS}
LERPS = {"rwkv6": ["time_maa_" + letter for letter in "wkvrg"], "rwkv7": ["x_" + letter for letter in "rwkvag"]}
TRANSPOSED = {"rwkv6": {"att.time_maa_w1", "att.time_maa_w2", "att.time_decay_w1", "att.time_decay_w2"},
              "rwkv7": {"att." + lora for lora in RWKV7_LORAS if lora[1] != "0"}}
ALWAYS_F32 = ("time_mix_first.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_decay_w1.weight",
              "time_mix_decay_w2.weight", "lerp_fused.weight")


def as_f32(raw, kind):
    if kind == "bf16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return raw.view({"f16": np.float16, "f32": np.float32}[kind]).astype(np.float32)


def read_safetensors(path):
    data = np.memmap(path, np.uint8, "r")
    length = int(data[:8].view(np.uint64)[0])
    header = json.loads(bytes(data[8 : 8 + length]))
    header.pop("__metadata__", None)
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        yield name, as_f32(np.array(data[begin:end]), entry["dtype"].lower()).reshape(entry["shape"])


def read_pth(path):
    """For files from a trusted source: contiguous tensors, read without torch."""
    file = zipfile.ZipFile(path)
    root = next(name for name in file.namelist() if name.endswith("/data.pkl"))[: -len("data.pkl")]

    def rebuild(storage, offset, shape, _strides, *_):
        kind, raw = storage
        return as_f32(raw, kind)[offset : offset + int(np.prod(shape))].reshape(shape)

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            kinds = {"BFloat16Storage": "bf16", "HalfStorage": "f16", "FloatStorage": "f32"}
            return kinds.get(name) or {"OrderedDict": dict, "_rebuild_tensor_v2": rebuild}[name]

        def persistent_load(self, pid):
            return pid[1], np.frombuffer(file.read(f"{root}data/{pid[2]}"), np.uint8)

    return Reader(file.open(root + "data.pkl")).load().items()


def read_checkpoint(path):
    return dict((read_pth if path.endswith(".pth") else read_safetensors)(path))


def world_tokens(path):
    tokens = [b"<s>"]
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            token = ast.literal_eval(line[line.index(" ") + 1 : line.rindex(" ")])
            tokens.append(token.encode("utf-8") if isinstance(token, str) else token)
    return tokens


def default_type(name, values):
    return F32 if values.ndim == 1 or name.endswith(ALWAYS_F32) else BF16


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Converter:
    """`tensors`: fp32, official names. `type_of(name, values)` gives the element type of a tensor of the GGUF file."""

    def __init__(self, path, tensors, type_of=default_type, rescale_every=6, fused=True):
        self.tensors, self.type_of, self.rescale_every, self.fused = tensors, type_of, rescale_every, fused
        self.arch = "rwkv7" if "blocks.0.att.r_k" in tensors else "rwkv6"
        self.layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
        self.writer = gguf.GGUFWriter(path, self.arch)
        self.encoded = {}  # name in the file -> what is stored there, and its type

    def add(self, name, values):
        kind = self.type_of(name, values)
        stored = gguf.quants.quantize(np.ascontiguousarray(values), kind)
        self.encoded[name] = stored, kind
        self.writer.add_tensor(name, stored, raw_dtype=kind)

    def add_in_block(self, layer, ours, target):
        values = self.tensors[f"blocks.{layer}.{ours}"]
        bare = ours.removesuffix(".weight").removesuffix(".bias")
        values = values if bare == "att.time_maa_w2" else np.squeeze(values)
        if bare in TRANSPOSED[self.arch]:
            values = np.swapaxes(values, -1, -2)
        if bare == "att.r_k":
            values = values.ravel()
        if self.arch == "rwkv6" and ours in ("att.output.weight", "ffn.value.weight") and self.rescale_every:
            values = values / np.float32(2 ** (layer // self.rescale_every))
        self.add(f"blk.{layer}.{target}{ours[len(bare):] or '.weight'}", values)

    def add_lerps(self, layer):
        vectors = [np.squeeze(self.tensors[f"blocks.{layer}.att.{name}"]) for name in LERPS[self.arch]]
        if self.fused:
            return self.add(f"blk.{layer}.time_mix_lerp_fused.weight", np.stack(vectors)[:, None, None, :])
        for name, vector in zip(LERPS[self.arch], vectors):
            self.add(f"blk.{layer}.time_mix_lerp_{name[-1]}.weight", vector)

    def add_block(self, layer):
        self.add_lerps(layer)
        for ours, theirs in {"rwkv6": RWKV6, "rwkv7": RWKV7}[self.arch].items():
            # Layer 0 has no value LoRA; llama.cpp wants something of the rate LoRA's shape there and never reads it.
            source = ours.replace("att.v", "att.a") if layer == 0 and ours in ("att.v0", "att.v1", "att.v2") else ours
            for suffix in ("", ".weight", ".bias"):
                if f"blocks.{layer}.{source}{suffix}" in self.tensors:
                    self.add_in_block(layer, source + suffix, theirs)

    def add_sizes(self):
        writer, shape = self.writer, {name: np.squeeze(values).shape for name, values in self.tensors.items()}
        channels = shape["emb.weight"][1]
        writer.add_context_length(1048576)
        writer.add_embedding_length(channels)
        writer.add_block_count(self.layers)
        writer.add_feed_forward_length(shape["blocks.0.ffn.key.weight"][0])
        writer.add_layer_norm_eps(1e-5)
        writer.add_head_count(0)
        heads = shape["blocks.1.att.r_k" if self.arch == "rwkv7" else "blocks.1.att.time_faaaa"]
        writer.add_wkv_head_size(heads[-1] if len(heads) == 2 else channels)
        if self.arch == "rwkv7":
            writer.add_decay_lora_rank(shape["blocks.1.att.w1"][1])
            writer.add_iclr_lora_rank(shape["blocks.1.att.a1"][1])
            writer.add_value_residual_mix_lora_rank(shape["blocks.1.att.v1"][1])
            writer.add_gate_lora_rank(shape["blocks.1.att.g1"][1])
        else:
            writer.add_rescale_every_n_layers(self.rescale_every)
            writer.add_time_mix_extra_dim(shape["blocks.1.att.time_maa_w1"][1] // 5)
            writer.add_time_decay_extra_dim(shape["blocks.1.att.time_decay_w1"][1])
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)

    def add_vocabulary(self, tokens):
        """Bytes per id, from 0 on; rows beyond them have no token."""
        kinds = gguf.TokenType
        rows = self.tensors["emb.weight"].shape[0]
        escaped = [repr(token)[2:-1].encode("utf-8") for token in tokens[:rows]]
        unused = [f"[PAD{index}]".encode("utf-8") for index in range(len(escaped), rows)]
        self.writer.add_tokenizer_model("rwkv")
        self.writer.add_token_list(escaped + unused)
        self.writer.add_token_types([kinds.CONTROL] + [kinds.NORMAL] * (len(escaped) - 1) + [kinds.UNUSED] * len(unused))
        self.writer.add_bos_token_id(0)
        self.writer.add_eos_token_id(0)

    def run(self, tokens):
        self.add_sizes()
        self.add_vocabulary(tokens)
        for ours, theirs in NAMES.items():
            self.add(theirs, self.tensors[ours])
        for layer in range(self.layers):
            self.add_block(layer)
        finish(self.writer)


def main():
    model, vocabulary, out, *matrices = sys.argv[1:]
    type_of = {"bf16": default_type, "fp32": lambda name, values: F32}[matrices[0] if matrices else "bf16"]
    Converter(out, read_checkpoint(model), type_of).run(world_tokens(vocabulary))


if __name__ == "__main__":
    main()
