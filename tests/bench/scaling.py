"""The measuring part of scaling.sh, which says what it does."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import machine

BYTES_PER_TOKEN = 3.73  # of the King James text; only to cut about as many tokens as asked for


def options():
    parser = argparse.ArgumentParser()
    for name in ("riverrun", "model", "text", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--lengths", nargs="*", default=[])
    return parser.parse_args()


class Bench:
    def __init__(self, opts):
        self.opts = opts
        self.peak = os.path.join(opts.work, "peak")
        self.output = os.path.join(opts.work, "scaling.h5")

    def document(self, tokens):
        """A file with about that many tokens of the text; 'all' is the whole of it."""
        if tokens == "all":
            return self.opts.text
        path = os.path.join(self.opts.work, f"king-james-{int(tokens)}.txt")
        with open(self.opts.text, "rb") as whole, open(path, "wb") as part:
            part.write(whole.read(int(int(tokens) * BYTES_PER_TOKEN)))
        return path

    def run(self, ranks, document):
        """One embed job on ranks of one thread, each pinned to a core. What it took, as a dictionary."""
        command = ["mpirun", "-n", str(ranks), "--bind-to", "core", sys.executable,
                   os.path.join(os.path.dirname(__file__), "peak.py"), self.peak, self.opts.riverrun, "embed",
                   "--threads", "1", "--window", "4096", "--overwrite", "--progress", "none",
                   "--model", self.opts.model, "--input", document, "--output", self.output]
        busy, began = machine.busy_seconds(), time.monotonic()
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        wall, busy = time.monotonic() - began, machine.busy_seconds() - busy
        if done.returncode != 0:
            raise SystemExit(f"exit code {done.returncode} from: {' '.join(command)}\n{done.stderr}")
        used = []
        for rank in range(ranks):
            with open(f"{self.peak}.{rank}", encoding="utf-8") as line:
                used.append([float(field) for field in line.read().split()])
        own = sum(cpu for _, cpu in used)
        return {"speed": machine.tokens_per_second(done.stderr), "wall": wall, "memory": [peak for peak, _ in used],
                "others": max(0.0, busy - own) / (wall * os.cpu_count())}

    def tokens_done(self):
        text = subprocess.run([self.opts.riverrun, "inspect", "--json", self.output], capture_output=True, text=True,
                              check=True).stdout
        return json.loads(text)["documents"]["tokens"]

    def compare_ranks(self):
        document = self.document(self.opts.tokens)
        runs = {1: [], 2: []}
        for _ in range(self.opts.rounds):
            for ranks, done in runs.items():
                done.append(self.run(ranks, document))
        speeds = {ranks: [run["speed"] for run in done] for ranks, done in runs.items()}
        ratios = [two / one for one, two in zip(speeds[1], speeds[2])]
        print(f"\n{self.tokens_done()} tokens as one document, ranks of one thread, {self.opts.rounds} rounds by turns\n")
        print("| ranks | tokens/s: best (median) | used by others |\n|---|---|---|")
        for ranks, done in runs.items():
            others = statistics.mean(run["others"] for run in done)
            print(f"| {ranks} | {machine.best_and_median(speeds[ranks])} | {100 * others:.0f} % |")
        print(f"\ntwo ranks over one: {max(speeds[2]) / max(speeds[1]):.2f} by the best runs, "
              f"{statistics.median(ratios):.2f} median of the rounds", flush=True)

    def compare_lengths(self):
        print("\n2 ranks of one thread\n\n| tokens | tokens/s | us per token | peak memory per rank, MiB | used by others |\n"
              "|---|---|---|---|---|")
        for length in self.opts.lengths:
            run = self.run(2, self.document(length))
            memory = " / ".join(f"{peak / 2**20:.1f}" for peak in run["memory"])
            print(f"| {self.tokens_done()} | {run['speed']:.0f} | {1e6 / run['speed']:.1f} | {memory} | "
                  f"{100 * run['others']:.0f} % |", flush=True)


def main():
    opts = options()
    print(f"machine: {machine.describe()}\nmodel: {opts.model}")
    bench = Bench(opts)
    if opts.rounds > 0:
        bench.compare_ranks()
    if opts.lengths:
        bench.compare_lengths()


main()
