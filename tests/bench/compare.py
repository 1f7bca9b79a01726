"""The measuring part of compare.sh, which says what it does. Needs numpy, h5py, gguf, and the peers."""

import argparse
import ctypes
import json
import os
import random
import statistics
import subprocess
import sys
import time

import h5py
import machine
import numpy as np

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "golden"))


def options():
    parser = argparse.ArgumentParser()
    for name in ("riverrun", "model", "gguf", "pth", "work", "precision", "target"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("tokens", "steps", "rounds", "micro-batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--threads", type=int, nargs="+", required=True)
    parser.add_argument("--peers", nargs="*", required=True)
    return parser.parse_args()


def best_step(steps, step):
    """Tokens/s of the fastest of `steps` calls."""
    taken = []
    for _ in range(steps):
        began = time.monotonic()
        step()
        taken.append(time.monotonic() - began)
    return 1 / min(taken)


class Riverrun:
    """Jobs as users run them: `embed` reads no head, `bench decode` does."""

    name = "riverrun"

    def __init__(self, opts, ids):
        self.opts, self.threads = opts, 1
        self.document, self.output = (os.path.join(opts.work, "compare" + kind) for kind in (".jsonl", ".h5"))
        with open(self.document, "w", encoding="utf-8") as out:
            print(json.dumps({"id": "compare", "tokens": ids}), file=out)

    def set_threads(self, threads):
        self.threads = threads

    def run(self, *arguments):
        precision = "auto" if self.opts.precision == "bf16" else "fp32"  # the model's weights are bf16
        command = [self.opts.riverrun, *arguments, "--model", self.opts.model, "--precision", precision, "--threads", str(self.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"exit code {done.returncode} from: {' '.join(command)}\n{done.stderr}")
        return done

    def prefill(self):
        return machine.tokens_per_second(self.run("embed", "--pool", "last", "--overwrite", "--progress", "none", "--input",
                                                  self.document, "--output", self.output).stderr)

    def decode(self):
        done = self.run("bench", "decode", "--batches", "1", "--rounds", str(self.opts.steps), "--json")
        return json.loads(done.stdout)[0]["tokens/s"]

    def last_hidden(self):
        with h5py.File(self.output) as file:
            return file["embeddings"][0].astype(np.float64)


class Llama:
    """llama.cpp's library, called without the Python wrapper's own loops."""

    name = "llama.cpp"
    POOL_LAST = 3  # LLAMA_POOLING_TYPE_LAST

    def __init__(self, opts, ids):
        import llama_cpp

        self.cpp, self.opts, self.ids = llama_cpp, opts, ids
        self.silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(opts.gguf.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp does not load {opts.gguf}")
        self.context = self.make_context(embeddings=False)  # the head for the last token of a batch only: its fastest way

    def describe(self):
        return (f"llama-cpp-python {self.cpp.__version__}, micro-batch {self.opts.micro_batch}, "
                f"{self.cpp.llama_print_system_info().decode().strip(' |')}")

    def make_context(self, embeddings):
        params = self.cpp.llama_context_default_params()
        params.n_ctx = self.opts.tokens + self.opts.steps
        params.n_batch = 4 * self.opts.micro_batch
        params.n_ubatch = self.opts.micro_batch
        params.no_perf = True
        params.embeddings = embeddings
        params.pooling_type = self.POOL_LAST if embeddings else 0
        context = self.cpp.llama_init_from_model(self.model, params)
        if not context:
            raise SystemExit("llama.cpp makes no context")
        return context

    def set_threads(self, threads):
        self.cpp.llama_set_n_threads(self.context, threads, threads)

    def take_in(self, context, ids):
        array = (self.cpp.llama_token * len(ids))(*ids)
        code = self.cpp.llama_decode(context, self.cpp.llama_batch_get_one(array, len(ids)))
        if code != 0:
            raise SystemExit(f"llama_decode returned {code}")
        self.cpp.llama_synchronize(context)

    def prefill(self, context=None):
        context = context or self.context
        self.cpp.llama_memory_clear(self.cpp.llama_get_memory(context), True)
        step = 4 * self.opts.micro_batch
        began = time.monotonic()
        for first in range(0, len(self.ids), step):
            self.take_in(context, self.ids[first : first + step])
        return len(self.ids) / (time.monotonic() - began)

    def decode(self):
        return best_step(self.opts.steps, lambda: self.take_in(self.context, [1]))

    def likeness(self, hidden):
        context = self.make_context(embeddings=True)
        self.prefill(context)
        width = self.cpp.llama_model_n_embd(self.model)
        vector = np.ctypeslib.as_array(self.cpp.llama_get_embeddings_seq(context, 0), (width,)).astype(np.float64)
        self.cpp.llama_free(context)
        return f"cosine of the last hidden states {cosine(hidden, vector):.6f}"


class RwkvPackage:
    """The rwkv package, fed 256 tokens at a time as its own pipeline does."""

    name = "rwkv"
    CHUNK = 256

    def __init__(self, opts, ids):
        os.environ["RWKV_JIT_ON"] = "1"
        seven = is_rwkv7(opts.model)
        os.environ["RWKV_V7_ON"] = "1" if seven else "0"
        import torch
        from rwkv.model import RWKV

        self.torch, self.opts, self.ids = torch, opts, ids
        path = opts.pth.removesuffix(".pth") if seven else opts.pth
        with open(os.devnull, "w", encoding="utf-8") as silence:
            spoken, sys.stdout = sys.stdout, silence
            try:
                self.model = RWKV(model=path, strategy=f"cpu {opts.precision}")
            finally:
                sys.stdout = spoken
        self.state = None

    def describe(self):
        return f"rwkv with torch {self.torch.__version__}, {self.torch.backends.cpu.get_cpu_capability()}, strategy cpu {self.opts.precision}"

    def set_threads(self, threads):
        self.torch.set_num_threads(threads)

    def prefill(self):
        state = None
        began = time.monotonic()
        for first in range(0, len(self.ids), self.CHUNK):
            self.logits, state = self.model.forward(self.ids[first : first + self.CHUNK], state)
        self.state = state
        return len(self.ids) / (time.monotonic() - began)

    def step(self):
        _, self.state = self.model.forward([1], self.state)

    def decode(self):
        return best_step(self.opts.steps, self.step)

    def likeness(self, hidden):
        import write_gguf

        self.prefill()
        head = next(values for name, values in write_gguf.read_safetensors(self.opts.model) if name == "head.weight")
        return f"cosine of the last logits {cosine(head.astype(np.float64) @ hidden, self.logits.double().numpy()):.6f}"


def is_rwkv7(model):
    """What the package must be told."""
    with open(model, "rb") as file:
        return "blocks.0.att.r_k" in json.loads(file.read(int.from_bytes(file.read(8), "little")))


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def measure(opts, programs, threads):
    """{program: ([prefill tokens/s], [decode tokens/s])} of each round, the programs by turns."""
    speeds = {program.name: ([], []) for program in programs}
    for program in programs:
        program.set_threads(threads)
        program.prefill()
    for _ in range(opts.rounds):
        for program in programs:
            speeds[program.name][0].append(program.prefill())
            speeds[program.name][1].append(program.decode())
    return speeds


def ratio(ours, theirs):
    rounds = statistics.median(a / b for a, b in zip(ours, theirs))
    return f"{max(ours) / max(theirs):.2f} ({rounds:.2f})"


def main():
    opts = options()
    draw = random.Random(1)
    ids = [draw.randrange(1, 65530) for _ in range(opts.tokens)]
    kinds = {"llama.cpp": Llama, "rwkv": RwkvPackage}
    peers = [kinds[name](opts, ids) for name in opts.peers]
    ours = Riverrun(opts, ids)
    print(f"machine: {machine.describe()}\nmodel: {os.path.basename(opts.model)}, {opts.precision}, target {opts.target}; one document "
          f"of {opts.tokens} tokens; decoding: the fastest of {opts.steps} steps a round; {opts.rounds} rounds by turns")
    for peer in peers:
        print(f"{peer.name}: {peer.describe()}")
    print("\n| threads | program | prefill, tokens/s: best (median) | riverrun over it | decode, tokens/s: best (median) | "
          "riverrun over it | used by others |\n|---|---|---|---|---|---|---|", flush=True)
    for threads in opts.threads:
        began, busy, own = time.monotonic(), machine.busy_seconds(), sum(os.times()[:4])
        speeds = measure(opts, [ours, *peers], threads)
        busy, own = machine.busy_seconds() - busy, sum(os.times()[:4]) - own
        others = max(0.0, busy - own) / ((time.monotonic() - began) * os.cpu_count())
        for name, (prefill, decode) in speeds.items():
            ratios = ["", ""] if name == "riverrun" else [ratio(a, b) for a, b in zip(speeds["riverrun"], (prefill, decode))]
            print(f"| {threads} | {name} | {machine.best_and_median(prefill)} | {ratios[0]} | {machine.best_and_median(decode)} | "
                  f"{ratios[1]} | {100 * others:.0f} % |", flush=True)
    hidden = ours.last_hidden()
    print()
    for peer in peers:
        print(f"riverrun and {peer.name}: {peer.likeness(hidden)} (both compute the same model when this is near 1)")


main()
