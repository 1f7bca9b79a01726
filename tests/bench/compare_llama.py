"""The measuring part of compare_llama.sh, which says what it does. Needs llama-cpp-python, numpy and h5py."""

import argparse
import ctypes
import json
import os
import random
import statistics
import subprocess
import time

import h5py
import llama_cpp
import machine
import numpy as np

POOL_LAST = 3  # LLAMA_POOLING_TYPE_LAST


def options():
    parser = argparse.ArgumentParser()
    for name in ("riverrun", "model", "gguf", "work"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("tokens", "rounds", "threads", "micro-batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser.parse_args()


class Llama:
    """llama.cpp's library, called without the Python wrapper's own loops."""

    def __init__(self, opts):
        self.silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.opts = opts
        self.model = llama_cpp.llama_model_load_from_file(opts.gguf.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp does not load {opts.gguf}")

    def context(self, embeddings):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = self.opts.tokens
        params.n_batch = 4 * self.opts.micro_batch
        params.n_ubatch = self.opts.micro_batch
        params.n_threads = params.n_threads_batch = self.opts.threads
        params.no_perf = True
        params.embeddings = embeddings
        params.pooling_type = POOL_LAST if embeddings else 0
        context = llama_cpp.llama_init_from_model(self.model, params)
        if not context:
            raise SystemExit("llama.cpp makes no context")
        return context

    def prefill(self, context, ids):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        step = 4 * self.opts.micro_batch
        began = time.monotonic()
        for first in range(0, len(ids), step):
            part = ids[first : first + step]
            array = (llama_cpp.llama_token * len(part))(*part)
            code = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(part)))
            if code != 0:
                raise SystemExit(f"llama_decode returned {code}")
        llama_cpp.llama_synchronize(context)
        return len(ids) / (time.monotonic() - began)

    def last_vector(self, ids):
        context = self.context(embeddings=True)
        self.prefill(context, ids)
        width = llama_cpp.llama_model_n_embd(self.model)
        vector = np.ctypeslib.as_array(llama_cpp.llama_get_embeddings_seq(context, 0), (width,)).copy()
        llama_cpp.llama_free(context)
        return vector


class Riverrun:
    def __init__(self, opts, ids):
        self.opts = opts
        self.document, self.output = (os.path.join(opts.work, "compare" + kind) for kind in (".jsonl", ".h5"))
        with open(self.document, "w", encoding="utf-8") as out:
            print(json.dumps({"id": "compare", "tokens": ids}), file=out)

    def prefill(self):
        command = [self.opts.riverrun, "embed", "--pool", "last", "--precision", "bf16", "--threads",
                   str(self.opts.threads), "--overwrite", "--progress", "none", "--model", self.opts.model, "--input",
                   self.document, "--output", self.output]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"exit code {done.returncode} from: {' '.join(command)}\n{done.stderr}")
        return machine.tokens_per_second(done.stderr)

    def last_vector(self):
        with h5py.File(self.output) as file:
            return file["embeddings"][0]


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def main():
    opts = options()
    draw = random.Random(1)
    ids = [draw.randrange(1, 65530) for _ in range(opts.tokens)]
    print(f"machine: {machine.describe()}\nmodel: {opts.model}, bf16, {opts.threads} threads; one document of "
          f"{opts.tokens} tokens; llama-cpp-python {llama_cpp.__version__}, micro-batch {opts.micro_batch}\n"
          f"llama.cpp's features: {llama_cpp.llama_print_system_info().decode().strip(' |')}")
    ours, theirs = Riverrun(opts, ids), Llama(opts)
    context = theirs.context(embeddings=False)  # the head for the last token of a batch only: its fastest way
    theirs.prefill(context, ids[: opts.micro_batch])
    speeds = {"riverrun": [], "llama.cpp": []}
    began, busy, own = time.monotonic(), machine.busy_seconds(), sum(os.times()[:4])
    for _ in range(opts.rounds):
        speeds["llama.cpp"].append(theirs.prefill(context, ids))
        speeds["riverrun"].append(ours.prefill())
    busy, own = machine.busy_seconds() - busy, sum(os.times()[:4]) - own
    others = max(0.0, busy - own) / ((time.monotonic() - began) * os.cpu_count())
    llama_cpp.llama_free(context)
    print("\n| program | tokens/s: best (median) |\n|---|---|")
    for name, values in speeds.items():
        print(f"| {name} | {machine.best_and_median(values)} |")
    ratios = [a / b for a, b in zip(speeds["riverrun"], speeds["llama.cpp"])]
    print(f"\nriverrun over llama.cpp: {max(speeds['riverrun']) / max(speeds['llama.cpp']):.2f} by the best runs, "
          f"{statistics.median(ratios):.2f} median of {opts.rounds} rounds; others used {100 * others:.0f} % of the machine")
    alike = cosine(ours.last_vector().astype(np.float64), theirs.last_vector(ids).astype(np.float64))
    print(f"cosine of the two last hidden states: {alike:.6f} (both compute the same model when this is near 1)")


main()
