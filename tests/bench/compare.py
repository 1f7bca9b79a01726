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
    for name in ("tokens", "documents", "steps", "rounds", "micro-batch"):
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

    def __init__(self, opts, documents):
        self.opts, self.threads = opts, 1
        self.input, self.output = (os.path.join(opts.work, "compare" + kind) for kind in (".jsonl", ".h5"))
        with open(self.input, "w", encoding="utf-8") as out:
            for at, ids in enumerate(documents):
                print(json.dumps({"id": f"compare {at}", "tokens": ids}), file=out)

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
                                                  self.input, "--output", self.output).stderr)

    def decode(self):
        done = self.run("bench", "decode", "--batches", "1", "--rounds", str(self.opts.steps), "--json")
        return json.loads(done.stdout)[0]["tokens/s"]

    def last_hidden(self):
        """Of each document."""
        with h5py.File(self.output) as file:
            return file["embeddings"][:].astype(np.float64)


class Llama:
    """llama.cpp's library, called without the Python wrapper's own loops."""

    name = "llama.cpp"
    POOL_LAST = 3  # LLAMA_POOLING_TYPE_LAST
    MOST_SEQUENCES = 64  # in a batch

    def __init__(self, opts, documents):
        import llama_cpp

        self.cpp, self.opts, self.documents = llama_cpp, opts, documents
        self.silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(opts.gguf.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp does not load {opts.gguf}")
        # Of one document without embeddings, the head for the last token of a batch only: its fastest way.
        self.context = self.make_context(embeddings=len(documents) > 1)
        self.batch = llama_cpp.llama_batch_init(4 * opts.micro_batch, 0, 1)

    def describe(self):
        return (f"llama-cpp-python {self.cpp.__version__}, micro-batch {self.opts.micro_batch}, "
                f"{self.cpp.llama_print_system_info().decode().strip(' |')}")

    def make_context(self, embeddings):
        params = self.cpp.llama_context_default_params()
        params.n_ctx = self.opts.tokens + self.opts.steps
        params.n_seq_max = min(self.MOST_SEQUENCES, len(self.documents))
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

    def prefill(self):
        began = time.monotonic()
        if len(self.documents) > 1:
            self.embed(self.context)
        else:
            self.read_one(self.context)
        return self.opts.tokens / (time.monotonic() - began)

    def read_one(self, context):
        self.cpp.llama_memory_clear(self.cpp.llama_get_memory(context), True)
        step = 4 * self.opts.micro_batch
        for first in range(0, self.opts.tokens, step):
            self.take_in(context, self.documents[0][first : first + step])

    def groups(self):
        """Documents that go into a batch together."""
        group, tokens = [], 0
        for ids in self.documents:
            if group and (len(group) == self.MOST_SEQUENCES or tokens + len(ids) > 4 * self.opts.micro_batch):
                yield group
                group, tokens = [], 0
            group.append(ids)
            tokens += len(ids)
        yield group

    def embed(self, context):
        """The last hidden state of each document."""
        width, vectors, batch = self.cpp.llama_model_n_embd(self.model), [], self.batch
        for group in self.groups():
            self.cpp.llama_memory_clear(self.cpp.llama_get_memory(context), False)
            batch.n_tokens = 0
            for sequence, ids in enumerate(group):
                for position, token in enumerate(ids):
                    at = batch.n_tokens
                    batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.seq_id[at][0], batch.logits[at] = token, position, 1, sequence, 1
                    batch.n_tokens += 1
            code = self.cpp.llama_decode(context, batch)
            if code != 0:
                raise SystemExit(f"llama_decode returned {code}")
            for sequence in range(len(group)):
                vector = self.cpp.llama_get_embeddings_seq(context, sequence)
                vectors.append(np.ctypeslib.as_array(vector, (width,)).astype(np.float64))
        return vectors

    def decode(self):
        return best_step(self.opts.steps, lambda: self.take_in(self.context, [1]))

    def likeness(self, hidden):
        context = self.make_context(embeddings=True)
        if len(self.documents) > 1:
            vectors = self.embed(context)
        else:
            self.read_one(context)
            width = self.cpp.llama_model_n_embd(self.model)
            vectors = [np.ctypeslib.as_array(self.cpp.llama_get_embeddings_seq(context, 0), (width,)).astype(np.float64)]
        self.cpp.llama_free(context)
        return f"cosine of the last hidden states {min(map(cosine, hidden, vectors)):.6f}"


class RwkvPackage:
    """The rwkv package, fed 256 tokens at a time as its own pipeline does."""

    name = "rwkv"
    CHUNK = 256

    def __init__(self, opts, documents):
        os.environ["RWKV_JIT_ON"] = "1"
        seven = is_rwkv7(opts.model)
        os.environ["RWKV_V7_ON"] = "1" if seven else "0"
        import torch
        from rwkv.model import RWKV

        self.torch, self.opts, self.documents = torch, opts, documents
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
        began = time.monotonic()
        for ids in self.documents:
            self.state = None
            for first in range(0, len(ids), self.CHUNK):
                self.logits, self.state = self.model.forward(ids[first : first + self.CHUNK], self.state)
        return self.opts.tokens / (time.monotonic() - began)

    def step(self):
        _, self.state = self.model.forward([1], self.state)

    def decode(self):
        return best_step(self.opts.steps, self.step)

    def likeness(self, hidden):
        import write_gguf

        self.prefill()
        head = next(values for name, values in write_gguf.read_safetensors(self.opts.model) if name == "head.weight")
        return f"cosine of the last logits {cosine(head.astype(np.float64) @ hidden[-1], self.logits.double().numpy()):.6f}"


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
            if opts.documents == 1:
                speeds[program.name][1].append(program.decode())
    return speeds


def make_documents(opts):
    """Of random ids: so many documents, of half to one and a half times their mean length."""
    draw = random.Random(1)
    weights = [draw.uniform(0.5, 1.5) for _ in range(opts.documents)]
    ends = [round(opts.tokens * sum(weights[: at + 1]) / sum(weights)) for at in range(opts.documents)]
    return [[draw.randrange(1, 65530) for _ in range(end - begin)] for begin, end in zip([0, *ends], ends)]


def ratio(ours, theirs):
    if not ours:
        return ""
    rounds = statistics.median(a / b for a, b in zip(ours, theirs))
    return f"{max(ours) / max(theirs):.2f} ({rounds:.2f})"


def main():
    opts = options()
    documents = make_documents(opts)
    kinds = {"llama.cpp": Llama, "rwkv": RwkvPackage}
    peers = [kinds[name](opts, documents) for name in opts.peers]
    ours = Riverrun(opts, documents)
    print(f"machine: {machine.describe()}\nmodel: {os.path.basename(opts.model)}, {opts.precision}, target {opts.target}; {opts.tokens} tokens in "
          f"{opts.documents} document(s); decoding: the fastest of {opts.steps} steps a round; {opts.rounds} rounds by turns")
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
