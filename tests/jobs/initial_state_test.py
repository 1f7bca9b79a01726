"""Protects: --initial-state is where every document starts, on any rank, and part of what a result depends on."""

import json
import struct
import unittest

import numpy

from support import BAD_INPUT, GOLDEN_MODEL, JobTest, make_tokens, run

LAYERS, HEADS, HEAD_SIZE = 3, 2, 64  # of the golden model


def write_states(path, layers=LAYERS, shape=(HEADS, HEAD_SIZE, HEAD_SIZE), scale=1.0):
    """A file as state tuning leaves it: nothing but one time_state per layer."""
    generator = numpy.random.default_rng(4)
    header, data = {}, b""
    for layer in range(layers):
        values = (scale * generator.standard_normal(shape)).astype("<f4").tobytes()
        header[f"blocks.{layer}.att.time_state"] = {
            "dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(values)]
        }
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


class InitialStateTest(JobTest):
    def setUp(self):
        super().setUp()
        self.states = write_states(self.folder / "tuned.safetensors")
        self.source = self.documents([make_tokens(count, seed=count) for count in (200, 1, 30, 97)])
        self.options = ("--precision", "fp32", "--save-states", "--block-tokens", 32)

    def score(self, *options):
        return self.job("score", self.source, *self.options, *options)

    def test_zeros_are_what_a_document_starts_from(self):
        zeros = write_states(self.folder / "zeros.safetensors", scale=0.0)
        _, expected = self.score()
        _, found = self.score("--initial-state", zeros)
        self.assert_same(found, expected)

    def test_every_document_starts_there_on_every_rank(self):
        _, without = self.score()
        attributes, expected = self.score("--initial-state", self.states)
        self.assertEqual(len(attributes["initial_state_sha256"]), 64)
        for document in range(4):
            self.assertNotEqual(
                expected["states/wkv"][document].tobytes(), without["states/wkv"][document].tobytes(), document
            )
        for ranks in (2, 3):
            _, found = self.score("--initial-state", self.states, "--transport", "threads", "--ranks", ranks)
            self.assert_same(found, expected, f"{ranks} ranks")
        alone = self.documents([make_tokens(30, seed=30)], "alone.jsonl")
        _, found = self.job("score", alone, *self.options, "--initial-state", self.states)
        self.assertEqual(found["states/wkv"][0].tobytes(), expected["states/wkv"][2].tobytes())

    def test_resume_wants_the_same_state(self):
        output = self.folder / "out.h5"
        common = ("score", "--model", GOLDEN_MODEL, "--input", self.source, "--output", output, *self.options)
        self.assertEqual(run(*common, "--initial-state", self.states).code, 0)
        for options in ((), ("--initial-state", write_states(self.folder / "other.safetensors", scale=2.0))):
            done = run(*common, "--resume", *options)
            self.assertEqual(done.code, BAD_INPUT)
            self.assertIn("initial_state_sha256", done.err)
        self.assertEqual(run(*common, "--resume", "--initial-state", self.states).code, 0)

    def test_states_of_another_model_are_refused(self):
        for name, options in (
            ("fewer", {"layers": 2}), ("more", {"layers": 4}), ("wider", {"shape": (HEADS, 32, 32)}),
        ):
            path = write_states(self.folder / f"{name}.safetensors", **options)
            done = run(
                "score", "--model", GOLDEN_MODEL, "--input", self.source, "--output", self.folder / "x.h5",
                "--initial-state", path,
            )
            self.assertEqual(done.code, BAD_INPUT, (name, done.err))
            self.assertIn(str(path), done.err)
            self.assertFalse((self.folder / "x.h5").exists())


if __name__ == "__main__":
    unittest.main()
