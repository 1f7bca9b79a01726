#!/usr/bin/env python3
"""Writes tokenizer.json and expected.jsonl beside this file, with the `tokenizers` package (0.23.3 when last run).

    make.py [20B_TOKENIZER_JSON]

tokenizer.json is a small tokenizer of the GPT-NeoX 20B kind, trained on the King James text (Debian's bible-kjv, out of
copyright). expected.jsonl: texts, their ids with it ("tokens") and, if its file is given, with the 20B tokenizer
("tokens_20b"). Text is escaped in it, so that no editor normalises it; "bytes" is hexadecimal where it is not UTF-8.
"""

import json
import pathlib
import subprocess
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent

TEXTS = [
    "",
    "a",
    "In the beginning God created the heaven and the earth.\n\nAnd the earth was without form, and void;",
    "don't I'll we've they're DON'T 's 're ' ''ll x'd 'tis 'sail 'rest l'lama",
    " leading and trailing ",
    "one  two   three    four" + " " * 24 + "five" + " " * 25 + "six" + " " * 50 + "end  ",
    "def f(x):\n    return x\n\n\n\tif x == 1:\n\t\tpass  \n   \n  ",
    "\n", "\n\n", "\r\n\r\n", "a\n b", "a \n b", "a\n\n  b", "a\t b", "  ", " \t \n",
    "3.14159 2024-01-02 1,000,000 12ab 12 ab \u00bd\u00b2\u2167",
    "!!! ... -- == :) (a) [b] {c} <d> 'e' \"f\" #g @h",
    "<|endoftext|>", "a<|endoftext|>b <|padding|> c", "<|endoftext|><|endoftext|>", "<|endoftext", "<<|endoftext|>>",
    "e<|endoftext|>\u0301", "<|endoftext|\u0301>",
    "nai\u0308ve na\u00efve cafe\u0301 caf\u00e9 A\u030a \u212b \u2126 q\u0323\u0307 q\u0307\u0323",
    "\u0301 \u0323\u0301a\u0323\u0301 \u0344 \u0f73 \u0f71\u0f72 \u09c7\u09be \u1025\u102e",
    "\u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uae00 \ud558\u11ab \u1100\uac00\u11a8 \u1161\u11a8",
    "\u0928\u093c \u0958 \ufb1d \u2adc \uf900 \U0002f800 \U0001d15e \U00011099\U000110ba",
    "a\u08cab\u0323 \u0301\u0898",
    # Blocked from composing by a mark of the same class; marks later than Unicode 9, which the package does not move.
    "a\u0305\u0301 e\u033f\u0300 \u1100\u0300\u1161 a\u0301\u0305",
    "a\u0301\u0899 e\u0301\u1abf\u0323 \u0301\u09fe\u0323",
    "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439, \u043c\u0438\u0440! \u0418\u0306 \u0439",
    "\u05e2\u05b4\u05d1\u05b0\u05e8\u05b4\u05d9\u05ea \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0627\u0653 \u0622",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22 \u10e5\u10d0\u10e0\u10d7\u10e3\u10da\u10d8",
    "\u65e5\u672c\u8a9e \u4e00\u4e8c\u4e09\u3002\u3000\u304b\u3099 \u304c \u30a6\u3099",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd 1\ufe0f\u20e3",
    "\u00a0\u2003x\u2028\u2029y\u3000z\u1680 \u0085\u000b\u000c\u001c\u200b\ufeff\u180e\u2060 end",
    "\x00\x01\x1f\x7f\x80 \ufffd \uffff \U0010ffff \ue000 \u0378",
    "a" * 100, "ab" * 60, "=" * 70, "\t" * 30, "9" * 40, "\n" * 20 + " " * 30 + "x",
    "\u0301\u0323" * 20,
]
NOT_UTF8 = [b"\x80", b"a\xffb", b"caf\xe9 \xc3\xa9", b"\xe2\x82", b"\xf0\x9f\x91 \xf0\x9f", b"\xed\xa0\x80\xc0\xaf\xf5",
            b"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"]


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    book = subprocess.run(["bible", "-f"], input=b"gen1:1-rev22:21\n", capture_output=True, check=True).stdout.decode()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<|endoftext|>", "<|padding|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    # A little of what the book has not, so that merges of other kinds are in it.
    tokenizer.train_from_iterator([book] + TEXTS * 40, trainer)
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    return tokenizer


def main():
    tokenizer = train()
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    full = Tokenizer.from_file(sys.argv[1]) if len(sys.argv) > 1 else None
    with open(HERE / "expected.jsonl", "w", encoding="ascii") as file:
        for item in TEXTS + NOT_UTF8:
            text = item if isinstance(item, str) else item.decode("utf-8", "replace")
            line = {"text": item} if isinstance(item, str) else {"bytes": item.hex()}
            line["tokens"] = tokenizer.encode(text, add_special_tokens=False).ids
            line["decoded"] = tokenizer.decode(line["tokens"], skip_special_tokens=True)
            if full:
                line["tokens_20b"] = full.encode(text, add_special_tokens=False).ids
            file.write(json.dumps(line) + "\n")


main()
