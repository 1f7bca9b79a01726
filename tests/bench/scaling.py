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
    for name in ("riverrun", "model", "text", "work", "precision"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--length-ranks", type=int, required=True)
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

    def run(self, ranks, document, *options):
        """One embed job on ranks of one thread, each pinned to a core. What it took, as a dictionary."""
        command = ["mpirun", "-n", str(ranks), "--bind-to", "core", sys.executable,
                   os.path.join(os.path.dirname(__file__), "peak.py"), self.peak, self.opts.riverrun, "embed",
                   "--threads", "1", "--precision", self.opts.precision, "--window", "4096", "--overwrite", "--progress", "none",
                   "--model", self.opts.model, "--input", document, "--output", self.output, *options]
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
        """The lengths by turns: each in every round, once, or as often as makes a short one last."""
        ranks, lengths = self.opts.length_ranks, self.opts.lengths
        runs = {length: [] for length in lengths}
        tokens = {}
        for _ in range(max(1, self.opts.rounds)):
            for length in lengths:
                for _ in range(self.repeats(length)):
                    runs[length].append(self.run(ranks, self.document(length)))
                tokens[length] = self.tokens_done()
        print(f"\n{ranks} rank{'s' if ranks > 1 else ''} of one thread\n\n| tokens | runs | tokens/s: best (median) | us per token, best | "
              "against the longest | peak memory per rank, MiB | used by others |\n|---|---|---|---|---|---|---|")
        longest = max(run["speed"] for run in runs[lengths[-1]])
        for length, done in runs.items():
            speeds = [run["speed"] for run in done]
            memory = " / ".join(f"{max(run['memory'][rank] for run in done) / 2**20:.1f}" for rank in range(ranks))
            others = statistics.mean(run["others"] for run in done)
            print(f"| {tokens[length]} | {len(done)} | {machine.best_and_median(speeds)} | {1e6 / max(speeds):.1f} | "
                  f"{100 * (longest / max(speeds) - 1):+.1f} % | {memory} | {100 * others:.0f} % |", flush=True)

    def compare_tenths(self):
        """The blocks of the longest document, by their place in it: what a machine that others use, too, cannot blur."""
        trace = os.path.join(self.opts.work, "trace.json")
        self.run(1, self.document(self.opts.lengths[-1]), "--trace", trace)
        with open(trace, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        spans = {}
        for event in events:
            block = event.get("args", {}).get("block")
            if block is not None and "dur" in event:
                begin, end = spans.get(block, (float("inf"), 0))
                spans[block] = min(begin, event["ts"]), max(end, event["ts"] + event["dur"])
        took = [(end - begin) / 1000 for _, (begin, end) in sorted(spans.items())][:-1]  # the last is a part of a block
        print(f"\n{len(took)} blocks of that length on one rank, ms of a block: fastest (10th percentile) in each tenth of the document\n")
        tenths = [sorted(took[len(took) * i // 10 : len(took) * (i + 1) // 10]) for i in range(10)]
        print("| " + " | ".join(str(i + 1) for i in range(10)) + " |\n" + "|---" * 10 + "|")
        print("| " + " | ".join(f"{tenth[0]:.1f} ({tenth[len(tenth) // 10]:.1f})" for tenth in tenths) + " |", flush=True)

    @staticmethod
    def repeats(length):
        return 1 if length == "all" else max(1, min(10, 20000 // int(length)))


def main():
    opts = options()
    print(f"machine: {machine.describe()}\nmodel: {opts.model}")
    bench = Bench(opts)
    if opts.rounds > 0:
        bench.compare_ranks()
    if opts.lengths:
        bench.compare_lengths()
        bench.compare_tenths()


main()
