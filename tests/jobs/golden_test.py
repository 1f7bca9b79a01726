"""Protects: the numbers of score and embed are those of an independent implementation, token by token."""

import unittest

import numpy

from support import GOLDEN_MODEL, JobTest, golden, read_pth


def log_softmax(logits):
    logits = logits.astype(numpy.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted).sum(axis=-1, keepdims=True))


class GoldenTest(JobTest):
    LIMITS = {"fp32": 2e-5, "bf16": 2e-2}  # of the largest logit

    def setUp(self):
        super().setUp()
        self.tokens = golden()["tokens"]
        self.logits = golden()["logits"]
        self.largest = numpy.abs(self.logits).max()
        # Every prefix is a document too, so that `--pool last` gives the hidden state after every token.
        self.prefixes = self.documents(
            [self.tokens[: i + 1].tolist() for i in range(len(self.tokens))], "prefixes.jsonl"
        )
        self.whole = self.documents([self.tokens.tolist()], "whole.jsonl")

    def test_scores_are_the_oracles(self):
        expected = log_softmax(self.logits)[numpy.arange(len(self.tokens) - 1), self.tokens[1:]]
        for precision, limit in self.LIMITS.items():
            _, arrays = self.job("score", self.whole, "--precision", precision)
            found = arrays["scores/logprob"]
            self.assertTrue(numpy.isnan(found[0]))
            # A log-probability is off by at most twice what a logit is off.
            self.assertLess(numpy.abs(found[1:] - expected).max(), 2 * limit * self.largest, precision)

    def test_hidden_states_times_the_head_are_the_oracles_logits(self):
        head = read_pth(GOLDEN_MODEL)["head.weight"]
        self.assertEqual(head.shape, self.logits.shape[1:] + (128,))
        for precision, limit in self.LIMITS.items():
            _, arrays = self.job("embed", self.prefixes, "--pool", "last", "--precision", precision)
            logits = arrays["embeddings"].astype(numpy.float64) @ head.T.astype(numpy.float64)
            error = numpy.abs(logits - self.logits).max() / self.largest
            self.assertLess(error, limit, precision)

    def test_states_are_the_oracles(self):
        for command, options in (("embed", ["--save-states"]), ("score", ["--save-states"])):
            _, arrays = self.job(command, self.whole, "--precision", "fp32", *options)
            wkv, shift = arrays["states/wkv"], arrays["states/shift"]
            self.assertEqual(wkv.shape, (1, 3, 2, 64, 64))
            self.assertEqual(shift.shape, (1, 3, 2, 128))
            for layer in range(3):
                time_mix, state, channel_mix = (
                    golden()[f"state.{3 * layer + part:04d}"] for part in range(3)
                )
                for name, found, expected in (
                    ("wkv", wkv[0, layer], state),
                    ("time mix", shift[0, layer, 0], time_mix),
                    ("channel mix", shift[0, layer, 1], channel_mix),
                ):
                    error = numpy.abs(found - expected).max() / numpy.abs(expected).max()
                    self.assertLess(error, 1e-4, f"{command}, layer {layer}, {name}")

    def test_bf16_is_another_result_than_fp32(self):
        _, exact = self.job("score", self.whole, "--precision", "fp32")
        _, rounded = self.job("score", self.whole, "--precision", "bf16")
        self.assertNotEqual(exact["scores/logprob"].tobytes(), rounded["scores/logprob"].tobytes())


if __name__ == "__main__":
    unittest.main()
