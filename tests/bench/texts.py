"""What texts cost beside reading; see texts.sh, which calls it."""

import argparse
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

NEW_TOKENS = 64
SECTION_TOKENS = 8192
BATCH = 64  # texts that a rank writes at once


NUMBER = r"([\d.]+ ?[kMG]?)"  # as the program shows it


def number(text):
    return float(text.rstrip(" kMG")) * {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1], 1)


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.threads = ("--threads", "1", "--transport", "threads", "--ranks", str(options.ranks))

    def run(self, job, *more):
        """(seconds of the whole program, what it logged)"""
        command = [self.options.riverrun, job, "--model", self.options.model, "--precision", self.options.precision, *map(str, more)]
        begin = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"texts: {' '.join(command)}\n{done.stderr}")
        return time.monotonic() - begin, done.stdout, done.stderr

    def corpus(self, job, source, *more):
        """(seconds in the ring, what it logged) of a job over `source`."""
        output = self.folder / "out.h5"
        _, _, log = self.run(job, "--input", source, "--output", output, "--overwrite", *self.threads, *more)
        tokens, rate = re.search(rf" documents?, {NUMBER} tokens in .*: {NUMBER} tokens/s on", log).groups()
        return number(tokens) / number(rate), log

    def decode_rate(self):
        """tokens/s of a rank while the others decode, too: they share the memory, and perhaps the cores."""
        def rate(_):
            return json.loads(self.run("bench", "decode", "--batches", BATCH, "--threads", 1, "--json")[1])[0]["tokens/s"]

        with concurrent.futures.ThreadPoolExecutor(self.options.ranks) as ranks:
            rates = list(ranks.map(rate, range(self.options.ranks)))
        return sum(rates) / len(rates)

    def by_turns(self, *calls):
        """The least seconds of each."""
        best = [float("inf")] * len(calls)
        for _ in range(self.options.rounds):
            best = [min(seconds, call()) for seconds, call in zip(best, calls)]
        return best


def sections(bench, text):
    read, with_texts = bench.by_turns(
        lambda: bench.corpus("embed", text)[0],
        lambda: bench.corpus("summarize", text, "--mode", "sections", "--section-tokens", SECTION_TOKENS, "--max-new-tokens", NEW_TOKENS,
                             "--template", "plain", "--stop", "\x01\x02", "--start-token", "none")[0])
    log = bench.corpus("embed", text)[1]
    tokens = number(re.search(rf" documents?, {NUMBER} tokens in", log)[1])
    texts = -(-tokens // SECTION_TOKENS)
    bound = texts * NEW_TOKENS / (bench.decode_rate() * bench.options.ranks)
    print(f"\n| reading {tokens:.0f} tokens, s | with {texts:.0f} texts of {NEW_TOKENS}, s | decode bound, s | share of reading + bound |")
    print("|---|---|---|---|")
    print(f"| {read:.2f} | {with_texts:.2f} | {bound:.2f} | {with_texts / (read + bound):.2f} |")


def questions(bench, text):
    print("\n| bytes of the document | embed --save-states, s | ask, s (whole program) |")
    print("|---|---|---|")
    data = text.read_bytes()
    for size in (1000, 10000, 100000, len(data)):
        part = bench.folder / "part.txt"
        part.write_bytes(data[:size])
        states = bench.folder / "states.h5"
        embed = bench.run("embed", "--input", part, "--output", states, "--overwrite", "--save-states", *bench.threads)[0]
        (ask,) = bench.by_turns(lambda: bench.run("ask", "--states", states, "--question", "Who is it about?", "--template", "plain",
                                                  "--max-new-tokens", NEW_TOKENS, "--stop", "\x01\x02", *bench.threads)[0])
        print(f"| {min(size, len(data))} | {embed:.2f} | {ask:.2f} |")


def short_documents(bench, text):
    source = bench.folder / "short.jsonl"
    words = text.read_text(errors="replace").split()
    with open(source, "w") as file:
        for i in range(bench.options.documents):
            begin = i * 97 % (len(words) - 100)
            file.write(json.dumps({"text": " ".join(words[begin : begin + 20 + i % 50])}) + "\n")
    bounds, rates = [], []
    for _ in range(bench.options.rounds):
        bounds.append(bench.decode_rate())
        log = bench.corpus("summarize", source, "--max-new-tokens", NEW_TOKENS, "--template", "plain", "--stop", "\x01\x02",
                           "--start-token", "none")[1]
        rates.append(number(re.search(rf"tokens in all: {NUMBER} tokens/s of each rank", log)[1]))
    found, rate = max(rates), max(bounds)
    print(f"\n| short documents, {NEW_TOKENS} new tokens each | tokens/s of a rank | bench decode, batch {BATCH} | share |")
    print("|---|---|---|---|")
    # The prompts that ask for a text count as time, not as tokens.
    print(f"| {bench.options.documents} | {found:.0f} | {rate:.0f} | {found / rate:.2f} |")


def main():
    parser = argparse.ArgumentParser()
    for name in ("riverrun", "model", "text", "work", "precision", "parts"):
        parser.add_argument("--" + name, required=True)
    for name in ("bytes", "documents", "ranks", "rounds"):
        parser.add_argument("--" + name, type=int, required=True)
    options = parser.parse_args()
    known, parts = ("sections", "questions", "documents"), options.parts.split()
    if unknown := [part for part in parts if part not in known]:
        sys.exit(f"texts: --parts names {unknown[0]}, but there are {', '.join(known)}")
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        bench = Bench(options, pathlib.Path(folder))
        text = bench.folder / "text.txt"
        text.write_bytes(pathlib.Path(options.text).read_bytes()[: options.bytes])
        if "sections" in parts:
            sections(bench, text)
        if "questions" in parts:
            questions(bench, text)
        if "documents" in parts:
            short_documents(bench, text)


main()
