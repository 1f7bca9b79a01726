#!/usr/bin/env python3
"""Makes the files in gguf/ with the real packages: needs gguf (0.19.0 was used), safetensors and numpy from PyPI.

NAME.gguf is a model as llama.cpp has it, NAME.safetensors the same tensors under official names, which a reader must
find in it bit for bit; both from numpy and gguf.quants.dequantize alone. v7.gguf belongs to v7/model.pth.

usage: make_gguf.py [directory]
"""

import pathlib
import sys

import gguf
import numpy as np
from safetensors.numpy import save_file

import write_gguf

here = pathlib.Path(__file__).parent
out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else here / "gguf")
Kind = gguf.GGMLQuantizationType
random = np.random.default_rng(6)

D, N, F, V, RANK = 32, 16, 64, 96, 32
BYTES = [b"<s>"] + [bytes([value]) for value in range(256)]
SMALL = [Kind.Q8_0, Kind.Q4_0, Kind.F16, Kind.Q4_1, Kind.BF16, Kind.Q5_0, Kind.F32, Kind.Q5_1]


def draw(*shape):
    return (random.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def norm(name):
    return {name + ".weight": 1 + draw(D), name + ".bias": draw(D)}


def block7(layer):
    att, ffn = f"blocks.{layer}.att.", f"blocks.{layer}.ffn."
    tensors = norm(f"blocks.{layer}.ln1") | norm(f"blocks.{layer}.ln2") | norm(att + "ln_x")
    for letter in "rwkvag":
        tensors[att + "x_" + letter] = draw(1, 1, D)
    for letter in "wavg" if layer else "wag":
        tensors |= {f"{att}{letter}1": draw(D, RANK), f"{att}{letter}2": draw(RANK, D)}
        tensors |= {f"{att}{letter}0": draw(1, 1, D)} if letter != "g" else {}
    tensors |= {att + "k_k": draw(1, 1, D), att + "k_a": draw(1, 1, D), att + "r_k": draw(D // N, N)}
    tensors |= {f"{att}{name}.weight": draw(D, D) for name in ("receptance", "key", "value", "output")}
    return tensors | {ffn + "x_k": draw(1, 1, D), ffn + "key.weight": draw(F, D), ffn + "value.weight": draw(D, F)}


def block6(layer):
    att, ffn = f"blocks.{layer}.att.", f"blocks.{layer}.ffn."
    tensors = norm(f"blocks.{layer}.ln1") | norm(f"blocks.{layer}.ln2") | norm(att + "ln_x")
    tensors |= {f"{att}time_maa_{letter}": draw(1, 1, D) for letter in "xwkvrg"}
    tensors |= {f"{ffn}time_maa_{letter}": draw(1, 1, D) for letter in "kr"}
    tensors |= {att + "time_maa_w1": draw(D, 5 * RANK), att + "time_maa_w2": draw(5, RANK, D),
                att + "time_decay": draw(1, 1, D), att + "time_decay_w1": draw(D, RANK),
                att + "time_decay_w2": draw(RANK, D), att + "time_faaaa": draw(D // N, N)}
    tensors |= {f"{att}{name}.weight": draw(D, D) for name in ("receptance", "key", "value", "gate", "output")}
    return tensors | {ffn + "key.weight": draw(F, D), ffn + "receptance.weight": draw(D, D), ffn + "value.weight": draw(D, F)}


def model(block, layers):
    tensors = {"emb.weight": draw(V, D), "head.weight": draw(V, D)} | norm("blocks.0.ln0") | norm("ln_out")
    for layer in range(layers):
        tensors |= block(layer)
    return tensors


def restored(converter):
    """What the file holds, under official names: every step of the conversion backwards."""
    arch, file = converter.arch, {name: gguf.quants.dequantize(*stored) for name, stored in converter.encoded.items()}
    found = {}
    for name, official in converter.tensors.items():
        parts = name.split(".")
        layer, bare = (int(parts[1]), ".".join(parts[2:])) if parts[0] == "blocks" else (-1, name)
        stem = bare.removesuffix(".weight").removesuffix(".bias")
        lerp = bare.removeprefix("att.")
        if name in write_gguf.NAMES:
            values = file[write_gguf.NAMES[name]]
        elif lerp in write_gguf.LERPS[arch] and converter.fused:
            values = file[f"blk.{layer}.time_mix_lerp_fused.weight"][write_gguf.LERPS[arch].index(lerp)]
        elif lerp in write_gguf.LERPS[arch]:
            values = file[f"blk.{layer}.time_mix_lerp_{lerp[-1]}.weight"]
        else:
            table = write_gguf.RWKV6 if arch == "rwkv6" else write_gguf.RWKV7
            values = file[f"blk.{layer}.{table[stem]}{bare[len(stem):] or '.weight'}"]
        if stem in write_gguf.TRANSPOSED[arch]:
            values = np.swapaxes(values, -1, -2)
        if arch == "rwkv6" and bare in ("att.output.weight", "ffn.value.weight") and converter.rescale_every:
            values = values * np.float32(2 ** (layer // converter.rescale_every))
        found[name] = np.ascontiguousarray(values, np.float32).reshape(official.shape)
    return found


def cycled():
    """Every small type in turn, for whatever has rows of whole blocks."""
    count = 0

    def type_of(_, values):
        nonlocal count
        if values.ndim == 1 or values.shape[-1] % 32 != 0:
            return Kind.F32
        count += 1
        return SMALL[count % len(SMALL)]

    return type_of


def write(name, tensors, **options):
    converter = write_gguf.Converter(str(out / (name + ".gguf")), tensors, **options)
    converter.run(BYTES)
    if name != "v7":
        save_file(restored(converter), out / (name + ".safetensors"))


def random_blocks(kind, rows, elements):
    """Any bits, with finite fp16 numbers for scale and shift."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (rows * elements // block, size), np.uint8)
    places = [208] if kind == Kind.Q6_K else [0] if kind in (Kind.Q4_0, Kind.Q5_0, Kind.Q8_0) else [0, 2]
    for place in places:
        scales = random.integers(0, 0x7c00, len(blocks), np.uint16) | random.integers(0, 2, len(blocks), np.uint16) << 15
        blocks[:, place : place + 2] = scales[:, None].view(np.uint8)
    return blocks.reshape(rows, -1)


def write_blocks():
    """Random blocks of every encoding: as they are, transposed, and stacked."""
    writer = gguf.GGUFWriter(str(out / "blocks.gguf"), "rwkv7")
    writer.add_wkv_head_size(64)
    values = {}
    kinds = [Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K]
    for layer, kind in enumerate(kinds):
        for theirs, ours, rows in (("channel_mix_key", "ffn.key.weight", 5), ("time_mix_w1", "att.w1", 3)):
            blocks = random_blocks(kind, rows, 512)
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", blocks, raw_dtype=kind)
            decoded = gguf.quants.dequantize(blocks, kind)
            values[f"blocks.{layer}.{ours}"] = np.ascontiguousarray(decoded.T if theirs == "time_mix_w1" else decoded)
        lerps = random_blocks(kind, 6, 256)
        writer.add_tensor(f"blk.{layer}.time_mix_lerp_fused.weight", lerps.reshape(6, 1, 1, -1), raw_dtype=kind)
        for name, row in zip(write_gguf.LERPS["rwkv7"], gguf.quants.dequantize(lerps, kind)):
            values[f"blocks.{layer}.att.{name}"] = row
    write_gguf.finish(writer)
    save_file(values, out / "blocks.safetensors")


def write_small():
    """A file that tests damage byte by byte; no padding behind its last tensor."""
    writer = gguf.GGUFWriter(str(out / "small.gguf"), "rwkv7")
    writer.add_wkv_head_size(4)
    writer.add_layer_norm_eps(1e-5)
    writer.add_token_list([b"<s>", b"\\x00"])
    writer.add_array("numbers", [1, 2, 3])
    for name, kind, rows, elements in (("time_mix_w1", Kind.Q8_0, 2, 32), ("channel_mix_key", Kind.Q4_K, 1, 256)):
        writer.add_tensor(f"blk.0.{name}.weight", random_blocks(kind, rows, elements), raw_dtype=kind)
    writer.add_tensor("blk.0.time_mix_r_k.weight", draw(8))
    write_gguf.finish(writer)


write("v7", write_gguf.read_checkpoint(str(here / "v7" / "model.pth")))
write("rwkv7-f32", model(block7, 2), type_of=lambda name, values: Kind.F32)
write("rwkv7-mixed", model(block7, 3), type_of=cycled())
write("rwkv6-mixed", model(block6, 5), type_of=cycled(), rescale_every=2)
write("rwkv6-f32", model(block6, 2), type_of=lambda name, values: Kind.F32, rescale_every=0, fused=False)
write_blocks()
write_small()
