#!/usr/bin/python3
"""Writes the inputs that fuzzing starts from: pieces of the golden files, and small inputs of every kind that is told apart.

    tests/fuzz/make_seeds.py          (needs the zstd program)

Files named found-* are inputs that once ended badly; they are kept as they are.
"""

import gzip
import json
import pathlib
import struct
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"


def write(target, name, content):
    path = HERE / "seeds" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def weights():
    for path in GOLDEN.glob("checkpoint/*.pth"):
        write("pth", path.name, path.read_bytes())
    for name in ("state.pth", "views_legacy.pth"):
        write("pth", f"containers-{name}", (GOLDEN / "containers" / name).read_bytes())
    write("pth", "bare.pkl", b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01]q\x02s.")
    write("safetensors", "types.safetensors", (GOLDEN / "checkpoint" / "types.safetensors").read_bytes())
    header = json.dumps({
        "__metadata__": {"format": "pt"},
        "model.layers.0.attn.x_x": {"dtype": "BF16", "shape": [6, 1, 2], "data_offsets": [0, 24]},
        "model.layers.0.attn.w_lora.lora.0.weight": {"dtype": "F16", "shape": [2, 3], "data_offsets": [24, 36]},
        "model.layers.0.attn.k_k": {"dtype": "F32", "shape": [2], "data_offsets": [36, 44]},
    }).encode()
    write("safetensors", "named.safetensors", struct.pack("<Q", len(header)) + header + b"\7" * 44)
    index = {"metadata": {"total_size": 4}, "weight_map": {"a": "one.safetensors", "b": "../two.safetensors"}}
    write("safetensors", "index.json", json.dumps(index))
    write("gguf", "small.gguf", (GOLDEN / "gguf" / "small.gguf").read_bytes())
    write("gguf", "blocks.gguf", (GOLDEN / "gguf" / "blocks.gguf").read_bytes())


def vocabularies():
    lines = [f"{byte + 1} {bytes([byte])!r} 1" for byte in range(256)]
    pieces = [" the", "er", "\n\n", "\u00fc", "\u6cb3"]
    lines += [f"{257 + i} {piece!r} {len(piece.encode())}" for i, piece in enumerate(pieces)]
    write("world", "small.txt", "\n".join(lines) + "\n")
    write("world", "quotes.txt", "1 'a' 1\n2 \"'\" 1\n3 '\\x00' 1\n4 b'\\xff' 1\n5 '\\u00e9' 2\n6 '\\t' 1\n")
    tokenizer = (GOLDEN / "neox" / "tokenizer.json").read_bytes()
    write("neox", "golden.json", tokenizer)
    small = json.loads(tokenizer)
    small["added_tokens"] = small["added_tokens"][:3]
    write("neox", "few_added.json", json.dumps(small, separators=(",", ":")))


def texts():
    write("json_lines", "plain.jsonl", '{"text": "a"}\n{"id": "b", "tokens": [1, 2]}\n\n {"id": 7, "text": "\\u00fc\\ud83c\\udf0a\\n"}\n')
    write("json_lines", "more.jsonl", '{"meta": {"x": [1, null, {"y": "z"}]}, "text": "", "id": "d/\u65e5"}\r\n{"tokens": []}')
    write("json_lines", "bad.jsonl", '{"text": 3}\n{"text": "a", "text": "b"}\n{"tokens": [1.5]}\n[[[[\n')
    write("json_lines", "mark.jsonl", b"\xef\xbb\xbf" + b'{"text": "x"}\n{"id": -1, "text": "\xff"}\n')
    text = b"the river " * 50 + bytes(range(256))
    write("streams", "plain.gz", gzip.compress(text, mtime=0))
    write("streams", "two.gz", gzip.compress(b"a", mtime=0) + gzip.compress(text[:99], 1, mtime=0))
    for name, options in (("plain.zst", []), ("checked.zst", ["--check", "-19"]), ("long.zst", ["--long=27"])):
        write("streams", name, subprocess.run(["zstd", "-q", "-c", *options], input=text, capture_output=True, check=True).stdout)
    write("prompts", "all.txt", "[before]\nRead.\n\n[reminder]\n(go on)\n[section]\nPart:\n[after]\nAll:\n\\[x]\n[question]\n{question}")
    write("prompts", "bad.txt", "hello\n[middle]\n[after]\n")
    write("prompts", "questions.jsonl", '{"question": "Who?"}\n{"id": 1, "question": "O\u00f9 ?"}\n\n')


def messages():
    empty = struct.pack("<q", 0)
    for kind in range(3):
        write("messages", f"zeros{kind}", bytes([kind]) + 30 * empty)
        write("messages", f"ones{kind}", bytes([kind]) + b"\xff" * 200)
    # A work list: spool tokens, start, block, documents, keys, bytes of the path, beginnings; columns, checksums, keys, path.
    list_ = struct.pack("<7q", 9, 1, 16, 2, 2, 4, 2) + struct.pack("<6q", 0, 5, 5, 4, 0, 3) + struct.pack("<2I2Q", 0, 6, 7, 8) + b"/tmp"
    write("messages", "work_list", b"\1" + list_)
    write("messages", "carry", b"\2\3" + b"rrv1" + b"\0" * 100)


def outputs():
    write("output", "empty", b"")
    write("output", "counting", bytes(range(200)))
    write("output", "negative", b"\xfe" * 600)
    write("output", "zeros", bytes(900))
    write("output", "not_hdf5", b"\xff\x89HDF\r\n\x1a\n" + bytes(64) + b"rr-seal1")


for make in (weights, vocabularies, texts, messages, outputs):
    make()
