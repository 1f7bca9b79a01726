"""A long run that is killed again and again: nothing is lost, nothing is done twice, memory stays what it is.

    python3 tests/jobs/soak.py --minutes 30 --documents 200000

Not a test that ctest knows: it takes as long as it is told. A corpus of mixed documents (1 to 300,000 tokens) goes through a tiny
model on 4 MPI ranks; every one to four minutes one rank, mpirun or everything is killed, and the job goes on with --resume. Once an
output is complete, all documents must be done and a sample of them have the bytes that they have alone; then the next begins. The
environment variables are those of support.py.
"""

import argparse
import json
import pathlib
import random
import sys
import tempfile
import time

import h5py
import numpy

from resume_support import Running, end_by_id
from support import make_model, mpirun, run

RANKS, VOCABULARY, SAMPLE = 4, 271, 200
LONG = [300_000, 150_000, 100_000, 50_000] + [20_000] * 20 + [5_000] * 100


def lengths_of(documents, generator):
    short = 1 + generator.exponential(60, documents - len(LONG)).astype(int)
    lengths = numpy.concatenate([short, LONG])
    generator.shuffle(lengths)
    return lengths.tolist()


def write_corpus(path, lengths, generator):
    with open(path, "w") as out:
        for d, length in enumerate(lengths):
            out.write(json.dumps({"id": f"d{d}", "tokens": generator.integers(1, VOCABULARY, length).tolist()}) + "\n")


def resident(process):
    """MiB, 0 for a process that has gone."""
    try:
        pages = int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * 4096 >> 20


class Soak:
    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.generator = numpy.random.default_rng(options.seed)
        random.seed(options.seed)
        self.model = make_model(folder / "tiny.safetensors", layers=2, channels=64, vocab=VOCABULARY)
        self.corpus = folder / "corpus.jsonl"
        self.lengths = lengths_of(options.documents, self.generator)
        write_corpus(self.corpus, self.lengths, self.generator)
        self.end = time.monotonic() + 60 * options.minutes
        self.kills = self.completed = 0

    def arguments(self, source, output):
        return ("embed", "--model", self.model, "--input", source, "--output", output, "--threads", 1, "--precision", "fp32",
                "--block-tokens", 256, "--checkpoint-seconds", 20, "--progress", "none")

    def kill_something(self, running):
        kind = random.choice(["one", "mpirun", "all"])
        if kind == "all":
            running.kill_all()
        else:
            ranks = running.ranks
            end_by_id(random.choice(ranks) if kind == "one" and ranks else running.process.pid)
        self.kills += 1
        return kind

    def one_start(self, output):
        """One start of the job, until it ends or is killed. Its exit code, None after a kill."""
        begin, memory = time.monotonic(), {}
        until = begin + random.uniform(60, 240)
        running = Running((*self.arguments(self.corpus, output), "--resume"), mpirun(RANKS), self.folder / "log.txt")
        killed = None
        while running.process.poll() is None:
            time.sleep(1)
            ranks = running.ranks
            memory.setdefault(int(time.monotonic() - begin) // 30, []).append(max(map(resident, ranks), default=0))
            if time.monotonic() > until:
                killed = self.kill_something(running)
                break
        code = running.process.wait(timeout=300)
        running.wait_for_ranks()
        peaks = [max(memory[k]) for k in sorted(memory)]
        print(f"  {time.monotonic() - begin:6.0f} s, {killed or f'ended with {code}'}; largest rank, MiB, by half minutes: {peaks}", flush=True)
        # The first stretches hold the reading of the input; then nothing may grow.
        if len(peaks) > 4:
            assert max(peaks[3:]) <= 1.05 * max(peaks[:3]) + 8, f"memory grows: {peaks}"
        assert killed or code == 0, running.text()
        return None if killed else code

    def check(self, output):
        with h5py.File(output) as file:
            status, ids, vectors = file["documents/status"][()], file["documents/id"].asstr()[()], file["embeddings"][()]
        assert (status == 1).all() and len(set(ids)) == len(self.lengths), "a row is lost or double"
        chosen = sorted(random.sample(range(len(self.lengths)), SAMPLE))
        sample, alone = self.folder / "sample.jsonl", self.folder / "sample.h5"
        wanted = set(chosen)
        with open(self.corpus) as lines, open(sample, "w") as out:
            out.writelines(line for d, line in enumerate(lines) if d in wanted)
        done = run(*self.arguments(sample, alone), "--overwrite", limit=1200)
        assert done.code == 0, done.err
        with h5py.File(alone) as file:
            assert file["embeddings"][()].tobytes() == vectors[chosen].tobytes(), "other bytes than alone"

    def go(self):
        tokens = sum(self.lengths)
        print(f"{len(self.lengths)} documents, {tokens} tokens, seed {self.options.seed}", flush=True)
        while time.monotonic() < self.end:
            output = self.folder / "out.h5"
            while self.one_start(output) is None:
                pass
            self.check(output)
            self.completed += 1
            left = [path.name for path in self.folder.iterdir() if path.name.startswith("out.h5") and path != output]
            assert not left, left
            output.unlink()
            print(f"complete: {self.completed} outputs, {self.kills} kills so far", flush=True)
        assert self.kills, "every run was over before it could be killed: nothing was tried; --documents is too small"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    with tempfile.TemporaryDirectory() as temporary:
        Soak(pathlib.Path(temporary), parser.parse_args(sys.argv[1:])).go()
