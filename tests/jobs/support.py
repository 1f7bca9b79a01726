"""What the tests of the program share: running it, models, inputs, and reading what it wrote.

The environment says where things are: RIVERRUN (the program), RIVERRUN_MAKE_MODEL, RIVERRUN_GOLDEN
(tests/golden), RIVERRUN_MPIEXEC. ctest sets them; without it the release build's are taken.
"""

import collections
import functools
import json
import os
import pathlib
import pickle
import re
import shutil
import struct
import subprocess
import tempfile
import time
import unittest
import zipfile

import h5py
import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("RIVERRUN", str(ROOT / "build/release/riverrun"))
MAKE_MODEL = os.environ.get("RIVERRUN_MAKE_MODEL", str(ROOT / "build/release/make_random_model"))
MPIEXEC = os.environ.get("RIVERRUN_MPIEXEC", "mpirun")
GOLDEN = pathlib.Path(os.environ.get("RIVERRUN_GOLDEN", ROOT / "tests/golden")) / "v7"
GOLDEN_MODEL = GOLDEN / "model.pth"
GOLDEN_VOCAB = 271
DONE, BAD_INPUT, SOME_FAILED = 0, 2, 3
LIMIT = 240  # seconds that no run should ever need; it says that something hangs

Result = collections.namedtuple("Result", "code out err seconds")

# Pieces of more than one byte in the vocabulary below.
PIECES = [" the", " of", "and", " river", "er", "in", "\n\n"]


def mpirun(ranks):
    return [MPIEXEC, "-n", str(ranks)]


def ranks_of(job):
    """{rank: process} of the job under the mpirun that is `job`."""
    found = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = re.search(r"^PPid:\t(\d+)", (process / "status").read_text(), re.M)
            environment = dict(part.partition(b"=")[::2] for part in (process / "environ").read_bytes().split(b"\0"))
        except OSError:
            continue  # gone already
        if parent and int(parent[1]) == job.pid and b"OMPI_COMM_WORLD_RANK" in environment:
            found[int(environment[b"OMPI_COMM_WORLD_RANK"])] = int(process.name)
    return found


def run(*arguments, launcher=(), program=PROGRAM, stdin=b"", environment=None, limit=LIMIT):
    """Runs the program to its end. A run that hangs is killed and raises."""
    command = [str(part) for part in (*launcher, program, *arguments)]
    begin = time.monotonic()
    done = subprocess.run(
        command, input=stdin, capture_output=True, timeout=limit, env={**os.environ, **(environment or {})}
    )
    return Result(
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
        time.monotonic() - begin,
    )


def make_model(path, layers=3, channels=128, vocab=GOLDEN_VOCAB, **more):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in more.items() if value is not True]
    flags = [f"--{name.replace('_', '-')}" for name, value in more.items() if value is True]
    made = run(
        "--output",
        path,
        "--layers",
        layers,
        "--channels",
        channels,
        "--vocab",
        vocab,
        *options,
        *flags,
        program=MAKE_MODEL,
    )
    if made.code != 0:
        raise RuntimeError(made.err)
    return path


def make_vocabulary(path):
    """A vocabulary in the World format that fits the golden model: every byte, and PIECES from id 257."""
    lines = [f"{byte + 1} {bytes([byte])!r} 1" for byte in range(256)]
    lines += [f"{257 + i} {piece!r} {len(piece.encode())}" for i, piece in enumerate(PIECES)]
    path.write_text("\n".join(lines) + "\n")
    return path


def make_text(size, seed=1):
    """About `size` bytes of words, some of them beyond ASCII."""
    words = ["the", "of", "and", "river", "under", "inland", "Flüsse", "河", "sea\n\n", "delta,"]
    generator = numpy.random.default_rng(seed)
    text = ""
    while len(text) < size:
        text += words[generator.integers(len(words))] + " "
    return text


def make_tokens(count, seed=1, vocab=GOLDEN_VOCAB):
    return numpy.random.default_rng(seed).integers(1, vocab, count).tolist()


def write_jsonl(path, documents):
    """`documents`: pairs of an id and a list of tokens or a text."""
    with open(path, "w", encoding="utf-8") as file:
        for name, content in documents:
            key = "text" if isinstance(content, str) else "tokens"
            file.write(json.dumps({"id": name, key: content}, ensure_ascii=False) + "\n")
    return path


def read_output(path):
    """(attributes, {dataset path: numpy array}) of an output file."""
    arrays = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
        attributes = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()
        }
    return attributes, arrays


def document_rows(arrays, document):
    """The bytes of everything that belongs to one document, under names that do not depend on the others."""
    rows = {}
    for name, array in arrays.items():
        if name.startswith("windows/"):
            mine = array[arrays["windows/document"] == document]
            if name != "windows/document":
                rows[name] = mine.tobytes()
        elif name == "scores/logprob":
            begin, end = arrays["scores/offset"][document : document + 2]
            rows[name] = array[begin:end].tobytes()
        elif name != "scores/offset":
            rows[name] = array[document].tobytes()
    return rows


def read_safetensors(path):
    raw = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    types = {"F32": "<f4", "F16": "<f2", "I32": "<i4"}
    arrays = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        begin, end = entry["data_offsets"]
        arrays[name] = numpy.frombuffer(
            raw[8 + size + begin : 8 + size + end], types[entry["dtype"]]
        ).reshape(entry["shape"])
    return arrays


def read_pth(path):
    """The bf16 tensors of a .pth file, as float32."""
    archive = zipfile.ZipFile(path)
    root = archive.namelist()[0].split("/")[0]

    def tensor(storage, offset, shape, strides, *_):
        bits = numpy.frombuffer(archive.read(f"{root}/data/{storage}"), "<u2").astype("<u4") << 16
        item = bits.itemsize
        return numpy.lib.stride_tricks.as_strided(
            bits.view("<f4")[offset:], shape, [item * s for s in strides]
        ).copy()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if name == "_rebuild_tensor_v2":
                return tensor
            if (module, name) == ("collections", "OrderedDict"):
                return collections.OrderedDict
            if name == "BFloat16Storage":
                return name
            raise pickle.UnpicklingError(f"unexpected {module}.{name}")

        def persistent_load(self, identity):
            assert identity[1] == "BFloat16Storage", identity
            return identity[2]

    with archive.open(f"{root}/data.pkl") as file:
        return Unpickler(file).load()


class JobTest(unittest.TestCase):
    """A test with a folder of its own, self.folder."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="riverrun-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.outputs = 0

    def vocabulary(self):
        return make_vocabulary(self.folder / "vocabulary.txt")

    def documents(self, contents, name="corpus.jsonl"):
        """A .jsonl file of these token lists or texts, with ids d0, d1, ..."""
        return write_jsonl(self.folder / name, [(f"d{i}", content) for i, content in enumerate(contents)])

    def job(self, command, source, *options, model=GOLDEN_MODEL, expect=DONE, **how):
        """Runs embed or score into a new file; returns its attributes and datasets. What it said is in self.log."""
        self.outputs += 1
        output = self.folder / f"output{self.outputs}.h5"
        threads = () if "--threads" in options else ("--threads", 1)
        done = run(
            command, "--model", model, "--input", source, "--output", output, *threads, *options, **how
        )
        self.assertEqual(done.code, expect, done.err)
        self.log = done.err
        self.assert_no_scratch()
        return read_output(output)

    def check_trace(self, ranks, *options, **how):
        """Runs a job; its --trace is JSON and has timed events of every rank and layer."""
        trace = self.folder / "trace.json"
        source = self.documents([make_tokens(600), make_tokens(20)])
        self.job("score", source, "--block-tokens", 64, "--trace", trace, *options, **how)
        events = json.loads(trace.read_text())["traceEvents"]
        timed = [event for event in events if event["ph"] == "X"]
        self.assertEqual({event["pid"] for event in timed}, set(range(ranks)))
        self.assertEqual({event["args"]["layer"] for event in timed if "layer" in event["args"]}, {0, 1, 2})
        self.assertTrue(all(event["dur"] >= 0 and event["ts"] >= 0 for event in timed))

    def assert_no_scratch(self, but=()):
        left = [path.name for path in self.folder.iterdir() if ".tokens" in path.name or ".creating" in path.name]
        self.assertEqual(sorted(set(left) - set(but)), [])

    def assert_same(self, arrays, expected, what=""):
        self.assertEqual(sorted(arrays), sorted(expected), what)
        for name, array in expected.items():
            self.assertEqual(arrays[name].dtype, array.dtype, f"{what}: {name}")
            self.assertEqual(arrays[name].shape, array.shape, f"{what}: {name}")
            if arrays[name].tobytes() != array.tobytes():
                self.fail(f"{what}: {name} differs, first in row {first_difference(arrays[name], array)}")


def first_difference(one, other):
    for row, (a, b) in enumerate(zip(one, other)):
        if a.tobytes() != b.tobytes():
            return row
    return None


@functools.lru_cache(maxsize=None)
def golden():
    return read_safetensors(GOLDEN / "expected.safetensors")
