#!/usr/bin/env python3
"""Writes model.pth and expected.safetensors of golden folders with the `rwkv` Python package, token by token, in fp32.

usage: make_oracle.py create    makes the small checkpoints below, and what is expected of them
       make_oracle.py FOLDER... reads FOLDER/model.pth and the tokens of FOLDER/expected.safetensors, and writes the latter anew

Needs rwkv 0.8.32, torch and numpy from PyPI. Nothing of riverrun is used: the package is an implementation of its own. It
gets the weights as fp32. From bf16 weights it would, for RWKV-4 to 6, apply ln0 to the embedding in bf16 once at load, with
results that depend on the version of torch and are up to 0.5 % of the largest logit away from fp32; we apply ln0 in fp32.
"""
import json
import pathlib
import struct
import subprocess
import sys

import numpy
import torch

from rwkv_package import load, read_tokens

HERE = pathlib.Path(__file__).resolve().parent
VOCAB, TOKENS = 50, 24

# folder -> generation, layers, heads, head size, whether it has a tuned initial state
SMALL = {
    "v5.0-faaaa": ("5.0", 2, 2, 16, False), "v5.1-n8": ("5.1", 2, 4, 8, False),
    "v5.2-n8-tuned": ("5.2", 2, 4, 8, True), "v5.2-n32": ("5.2", 2, 2, 32, False), "v5.2-n128": ("5.2", 2, 1, 128, False),
    "v6-n8-tuned": ("6", 2, 4, 8, True), "v6-n32": ("6", 2, 2, 32, False), "v6-n128": ("6", 2, 1, 128, False),
    "v7-n8-tuned": ("7", 2, 4, 8, True), "v7-n32": ("7", 1, 2, 32, False), "v7-n128": ("7", 2, 1, 128, False),
    "v7a": ("7a", 2, 2, 32, False),
}


class Weights(dict):
    def __init__(self, seed):
        super().__init__()
        self.random = torch.Generator().manual_seed(seed)

    def normal(self, name, *shape, deviation=None):
        """A matrix whose outputs have the deviation of its inputs, or numbers of a given deviation."""
        scale = deviation if deviation is not None else shape[-1] ** -0.5
        self[name] = (torch.randn(shape, generator=self.random) * scale).bfloat16()

    def between(self, name, low, high, *shape):
        self[name] = (torch.rand(shape, generator=self.random) * (high - low) + low).bfloat16()

    def norm(self, name, width):
        self.between(name + ".weight", 0.8, 1.2, width)
        self.between(name + ".bias", -0.1, 0.1, width)


def time_mix_5(w, att, generation, heads, size):
    channels = heads * size
    for x in "kvr" if generation == "5.0" else "kvrg":
        w.between(att + "time_mix_" + x, 0, 1, 1, 1, channels)
    shape = (heads, size) if generation == "5.2" else (heads,)
    w.between(att + "time_decay", -9, 1, *shape)
    w.between(att + "time_faaaa", -0.5, 1, *shape)
    for x in ("key", "value", "receptance", "output") + (() if generation == "5.0" else ("gate",)):
        w.normal(att + x + ".weight", channels, channels)


def time_mix_6(w, att, heads, size, shift_rank=4, decay_rank=5):
    channels = heads * size
    for x in "xwkvrg":
        w.between(att + "time_maa_" + x, 0, 1, 1, 1, channels)
    w.normal(att + "time_maa_w1", channels, 5 * shift_rank, deviation=channels ** -0.5)
    w.normal(att + "time_maa_w2", 5, shift_rank, channels, deviation=0.3)
    w.between(att + "time_decay", -9, 1, 1, 1, channels)
    w.normal(att + "time_decay_w1", channels, decay_rank, deviation=channels ** -0.5)
    w.normal(att + "time_decay_w2", decay_rank, channels, deviation=0.3)
    w.between(att + "time_faaaa", -0.5, 1, heads, size)
    for x in ("key", "value", "receptance", "gate", "output"):
        w.normal(att + x + ".weight", channels, channels)


def time_mix_7(w, att, heads, size, first):
    channels = heads * size
    for x in "rwkvag":
        w.between(att + "x_" + x, 0, 1, 1, 1, channels)
    for x, rank in (("w", 3), ("a", 5), ("v", 2), ("g", 7)):
        if x == "v" and first:
            continue
        w.normal(att + x + "1", channels, rank, deviation=channels ** -0.5)
        w.normal(att + x + "2", rank, channels, deviation=rank ** -0.5)
        if x != "g":
            w.between(att + x + "0", -8 if x == "w" else -2, 2, 1, 1, channels)
    w.between(att + "k_k", 0.5, 1.2, 1, 1, channels)
    w.between(att + "k_a", 0.5, 1.2, 1, 1, channels)
    w.normal(att + "r_k", heads, size, deviation=0.2)
    for x in ("key", "value", "receptance", "output"):
        w.normal(att + x + ".weight", channels, channels)


def channel_mix(w, ffn, generation, channels, width):
    w.normal(ffn + "key.weight", width, channels)
    w.normal(ffn + "value.weight", channels, width)
    if generation in ("7", "7a"):
        w.between(ffn + "x_k", 0, 1, 1, 1, channels)
    else:
        for x in "kr":
            w.between(ffn + ("time_maa_" if generation == "6" else "time_mix_") + x, 0, 1, 1, 1, channels)
        w.normal(ffn + "receptance.weight", channels, channels)
    if generation == "7a":  # the package fixes the inner size at 32
        w.normal(ffn + "s_emb.weight", VOCAB, 1024, deviation=0.2)
        w.normal(ffn + "s_emb_x.weight", 1024, channels, deviation=0.1)
        w.normal(ffn + "s1", channels, 32, deviation=channels ** -0.5)
        w.normal(ffn + "s2", 32, width, deviation=0.3)
        w.between(ffn + "s0", 0.5, 1.5, width)


def create(folder, generation, layers, heads, size, tuned):
    channels, width = heads * size, 64
    w = Weights(sum(map(ord, folder)))
    w.normal("emb.weight", VOCAB, channels, deviation=0.5)
    for layer in range(layers):
        block = f"blocks.{layer}."
        for name in ["ln0"] * (layer == 0) + ["ln1", "ln2"]:
            w.norm(block + name, channels)
        w.norm(block + "att.ln_x", channels)
        if generation[0] == "5":
            time_mix_5(w, block + "att.", generation, heads, size)
        elif generation == "6":
            time_mix_6(w, block + "att.", heads, size)
        else:
            time_mix_7(w, block + "att.", heads, size, layer == 0)
        if tuned:
            w.normal(block + "att.time_state", heads, size, size, deviation=1)
        channel_mix(w, block + "ffn.", generation, channels, width)
    w.norm("ln_out", channels)
    w.normal("head.weight", VOCAB, channels)
    (HERE / folder).mkdir(exist_ok=True)
    torch.save(dict(w), HERE / folder / "model.pth")
    tokens = torch.randint(VOCAB, (TOKENS,), generator=w.random).numpy().astype("<i4")
    write(HERE / folder, {"tokens": tokens})


def write(folder, arrays):
    header, data = {}, b""
    for name, array in sorted(arrays.items()):
        header[name] = {"dtype": "I32" if array.dtype == numpy.int32 else "F32", "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + array.nbytes]}
        data += numpy.ascontiguousarray(array).tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "expected.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def expect(folder):
    model, state = load(folder)
    tokens, logits = read_tokens(folder), []
    for token in tokens:
        row, state = model.forward([int(token)], state)
        logits.append(row.numpy())
    arrays = {f"state.{i:04}": entry.numpy() for i, entry in enumerate(state)}
    write(folder, {"tokens": tokens, "logits": numpy.stack(logits).astype("<f4"), **arrays})


if sys.argv[1] == "create":
    for name, shape in SMALL.items():
        create(name, *shape)
    folders = [HERE / name for name in SMALL]
else:
    folders = [pathlib.Path(name) for name in sys.argv[1:]]
if len(folders) == 1:
    expect(folders[0])
else:
    for one in folders:
        subprocess.run([sys.executable, __file__, one], check=True)
