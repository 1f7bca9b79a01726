#!/usr/bin/env python3
"""Writes what the `rwkv` Python package generates: FOLDER/generated.json of the golden folders, and sampling.json.

usage: make_generation.py

generated.json: the greedy continuation of the folder's tokens, with and without penalties, by PIPELINE.generate; weights
as fp32, as in make_oracle.py. sampling.json: made-up logits, and the probabilities that PIPELINE.sample_logits draws with.
Needs rwkv 0.8.32, torch and numpy from PyPI. Nothing of riverrun is used.
"""
import json
import pathlib
import subprocess
import sys
from copy import deepcopy

import numpy
import torch

from rwkv_package import load, read_tokens

HERE = pathlib.Path(__file__).resolve().parent
NEW_TOKENS = 32
PENALTIES = {"none": (0.0, 0.0, 0.996), "some": (0.7, 0.4, 0.9)}  # presence, frequency, decay
# temperature, top_p, top_k. Not top_p 1: where the package's running fp32 sum stays below 1, it becomes greedy.
SAMPLINGS = [
    (1.0, 0.9999, 0), (1.0, 0.85, 0), (0.7, 0.5, 0), (1.4, 0.9, 0), (1.0, 0.9999, 5), (1.0, 0.85, 3), (2.0, 0.3, 32), (0.3, 0.99, 0),
    (1.0, 0.0, 0), (0.0, 0.85, 0)]


def generate(folder):
    model, state = load(folder)
    from rwkv.utils import PIPELINE, PIPELINE_ARGS
    pipeline = PIPELINE.__new__(PIPELINE)
    pipeline.model = model
    pipeline.encode = lambda tokens: tokens
    pipeline.decode = lambda ids: "letters"
    result = {}
    for name, (presence, frequency, decay) in PENALTIES.items():
        args = PIPELINE_ARGS(temperature=0, top_p=0, alpha_frequency=frequency, alpha_presence=presence, alpha_decay=decay,
                             chunk_len=1)
        chosen = []
        draw = pipeline.sample_logits
        pipeline.sample_logits = lambda *a, **k: chosen.append(draw(*a, **k)) or chosen[-1]
        pipeline.generate([int(t) for t in read_tokens(folder)], NEW_TOKENS, args, state=deepcopy(state))
        del pipeline.sample_logits
        result[name] = {"presence": presence, "frequency": frequency, "decay": decay, "tokens": chosen}
    (folder / "generated.json").write_text(json.dumps(result) + "\n")


def sample():
    from rwkv.utils import PIPELINE
    logits = numpy.random.default_rng(7).normal(0, 2, 120).astype("<f4")
    logits[11] = logits[12] = numpy.float32(2.5)  # ties
    pipeline = PIPELINE.__new__(PIPELINE)
    cases = []
    for temperature, top_p, top_k in SAMPLINGS:
        caught = []
        choice, numpy.random.choice = numpy.random.choice, lambda a, p: caught.append(p) or 0
        pipeline.sample_logits(torch.tensor(logits), temperature, top_p, top_k)
        numpy.random.choice = choice
        cases.append({"temperature": temperature, "top_p": top_p, "top_k": top_k, "p": [float(x) for x in caught[0]]})
    (HERE / "sampling.json").write_text(json.dumps({"logits": [float(x) for x in logits], "cases": cases}) + "\n")


if len(sys.argv) == 2:
    generate(pathlib.Path(sys.argv[1]))
else:
    sample()
    for model in sorted(HERE.glob("v*/model.pth")):
        subprocess.run([sys.executable, __file__, model.parent], check=True)
