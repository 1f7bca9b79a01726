#!/usr/bin/env python3
"""Compares the GPT-NeoX tokenizer with the `tokenizers` package, id by id, on text of many kinds.

    tests/text/compare_neox.py ENCODE_TEXT TOKENIZER_JSON [--files PATH ...] [--random MEGABYTES] [--seed N]

ENCODE_TEXT is build/release/tests/encode_text. Texts: the files (in pieces of 64 KiB and whole), the King James text if
the program `bible` is there, random Unicode that is made to hurt, and bytes that are not UTF-8. Prints the number of bytes
compared and every kind of difference; exit code 1 if there was one. Characters that one side's Unicode knows and the
other's does not are left out of the random text: --newest puts them in.
"""

import argparse
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import unicodedata

from tokenizers import Tokenizer

MARKS = [chr(c) for c in (*range(0x300, 0x370), 0x483, *range(0x591, 0x5BE), *range(0x610, 0x61B), 0x64B, 0x653, 0x654,
                          0x93C, 0x94D, 0x9BE, 0x9D7, 0xB3E, 0xB56, 0xBBE, 0xC56, 0xCC2, 0xCD5, 0xCD6, 0xD3E, 0xDCF, 0xF71,
                          0xF72, 0xF74, 0x102E, 0x3099, 0x309A, 0x1B35, 0x20D0, 0x20E5, 0x1D165, 0x1D16E, 0x110BA, 0x11127,
                          0x344, 0xF73, 0xF75, 0xF81)]
BASES = list("aeiouAEIOUcnsyzåäöÅÄÖéêëșțơưąǫΑαΩω") + [chr(c) for c in (
    0x413, 0x418, 0x433, 0x438, 0x5D1, 0x5D5, 0x627, 0x648, 0x64A, 0x928, 0x930, 0x9C7, 0xB47, 0xBC6, 0xC46, 0xCC6, 0xD46,
    0xDD9, 0x1025, 0x304B, 0x30A6, 0x306F, 0x1B05, 0x2190, 0x2203, 0x226A, 0x2ADC, 0xFB1D, 0x1D15E, 0x11099, 0x212B, 0x2126,
    0x1E9B, 0x1FFD, 0xF900, 0x2F800, 0x340, 0x341, 0x387, 0x958, 0xFB4E)]
JAMO = [[chr(c) for c in r] for r in (range(0x1100, 0x1115), range(0x1160, 0x1178), range(0x11A6, 0x11C4), range(0xAC00, 0xAC40))]
SPACES = [" ", "  ", "   ", "\n", "\r\n", "\t", "\x0b", "\x0c", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f",
          "\u205f", "\u3000", "\u180e", "\u200b", "\u2060", "\ufeff", "\x1c", "\x1f"]
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "1️⃣", "🧑🏻‍🚀"]
WORDS = ["the", "don't", "I'll", "we've", "they're", "DON'T", "'s", "'re", "'", "''ll", "’s", "x'd", "3.14", "½", "Ⅷ", "²", "一二三",
         "hello", "river", "Flüsse", "naïve", "def f(x):", "return", "{", "}", "==", "!!", "http://a.b/c?d=e", "Здравствуй",
         "العربية", "हिन्दी", "ไทย", "日本語", "한국어", "ქართული", "עִבְרִית", "Ελληνικά", "𝔘𝔫𝔦", "\x00", "\x7f", "\u0378"]


def hurtful_text(generator, added, characters):
    parts = []
    for _ in range(generator.randrange(1, 60)):
        kind = generator.randrange(12)
        if kind < 3:
            parts.append(generator.choice(WORDS) + generator.choice(["", " ", " ", "\n"]))
        elif kind == 3:
            parts.append("".join(generator.choice(MARKS) for _ in range(generator.randrange(1, 9))))
        elif kind == 4:
            parts.append(generator.choice(BASES) + "".join(generator.choice(MARKS) for _ in range(generator.randrange(4))))
        elif kind == 5:
            parts += [generator.choice(generator.choice(JAMO)) for _ in range(generator.randrange(1, 7))]
        elif kind == 6:
            parts += [generator.choice(SPACES) for _ in range(generator.randrange(1, 6))]
        elif kind == 7:
            parts.append(generator.choice([" ", "\n", "\t", "a", ".", "=", "9"]) * generator.choice([1, 2, 5, 23, 24, 25, 47, 100]))
        elif kind == 8:
            parts.append(generator.choice(EMOJI))
        elif kind == 9:
            token = generator.choice(added)
            parts.append(generator.choice([token, token[:-1], token[1:], token + token, " " + token + "\u0301"]))
        else:
            parts += [generator.choice(characters) for _ in range(generator.randrange(1, 8))]
    return "".join(parts)


def bad_bytes(generator):
    text = bytearray(generator.choice(["plain text ", "naïve 日本 👍 text", "é" * 5]).encode())
    for _ in range(generator.randrange(1, 6)):
        text[generator.randrange(len(text))] = generator.randrange(256)
    return bytes(text[: generator.randrange(1, len(text) + 1)])


def texts_of_files(paths):
    for path in paths:
        path = pathlib.Path(path)
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            data = file.read_bytes()
            if b"\0" in data[:4096]:
                continue
            yield data
            for at in range(0, len(data), 1 << 16):
                yield data[at : at + (1 << 16)]


def make_texts(options, tokenizer):
    generator = random.Random(options.seed)
    yield from texts_of_files(options.files)
    if shutil.which("bible"):
        book = subprocess.run(["bible", "-f"], input=b"gen1:1-rev22:21\n", capture_output=True, check=True).stdout
        yield book
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    # What Unicode 14 had is known to all sides.
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    if not options.newest:
        characters = [c for c in characters if unicodedata.category(c) != "Cn"]
    made = 0
    while made < options.random * 1e6:
        text = hurtful_text(generator, added, characters).encode()
        made += len(text)
        yield text
    for _ in range(20000):
        yield bad_bytes(generator)


def run_ours(options, texts):
    framed = b"".join(struct.pack("=Q", len(text)) + text for text in texts)
    done = subprocess.run([options.program, options.tokenizer], input=framed, stdout=subprocess.PIPE, check=True)
    at = 0
    for _ in texts:
        (count,) = struct.unpack_from("=Q", done.stdout, at)
        yield list(struct.unpack_from(f"={count}i", done.stdout, at + 8))
        at += 8 + 4 * count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tokenizer")
    parser.add_argument("--files", nargs="*", default=[])
    parser.add_argument("--random", type=float, default=6, metavar="MEGABYTES")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--newest", action="store_true")
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(options.tokenizer)
    texts = list(make_texts(options, tokenizer))
    different = 0
    for text, ours in zip(texts, run_ours(options, texts)):
        expected = tokenizer.encode(text.decode("utf-8", "replace"), add_special_tokens=False).ids
        if ours != expected:
            different += 1
            if different <= 5:
                first = next((i for i, (a, b) in enumerate(zip(ours, expected)) if a != b), min(len(ours), len(expected)))
                print(f"differs at token {first}: ours {ours[first:first + 8]}, expected {expected[first:first + 8]}")
                print(f"  after {tokenizer.decode(expected[max(0, first - 5):first])!r}; text {text[:120]!r}")
    size = sum(map(len, texts))
    print(f"{len(texts)} texts, {size} bytes: {different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
