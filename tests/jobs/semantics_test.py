"""Protects: what the numbers in the output mean (docs/hdf5.md)."""

import unittest

import numpy

from support import JobTest, make_model, make_tokens, run


def length(rows):
    return numpy.sqrt((rows.astype(numpy.float64) ** 2).sum(axis=1))


class SemanticsTest(JobTest):
    LENGTHS = [1, 7, 64, 65, 200]

    def setUp(self):
        super().setUp()
        self.source = self.documents([make_tokens(count, seed=count) for count in self.LENGTHS])

    def embed(self, *options):
        return self.job("embed", self.source, "--precision", "fp32", "--block-tokens", 64, *options)[1]

    def test_the_mean_is_that_of_all_tokens(self):
        arrays = self.embed("--window", 1, "--pool", "mean")
        for document, count in enumerate(self.LENGTHS):
            rows = arrays["windows/embedding"][arrays["windows/document"] == document].astype(numpy.float64)
            self.assertEqual(len(rows), count)
            error = numpy.abs(rows.mean(axis=0) - arrays["embeddings"][document]).max()
            self.assertLess(error, 1e-6 * numpy.abs(rows).max() * 10)

    def test_last_is_the_last_token(self):
        arrays = self.embed("--window", 1, "--pool", "last")
        last = [
            (arrays["windows/document"] == document).nonzero()[0][-1] for document in range(len(self.LENGTHS))
        ]
        self.assertEqual(arrays["embeddings"].tobytes(), arrays["windows/embedding"][last].tobytes())

    def test_windows_cover_each_document_and_the_last_may_be_shorter(self):
        for width in (1, 30, 64, 1000):
            arrays = self.embed("--window", width)
            expected = [
                (document, first, min(width, count - first))
                for document, count in enumerate(self.LENGTHS)
                for first in range(0, count, width)
            ]
            found = zip(
                *(arrays[f"windows/{name}"].tolist() for name in ("document", "first_token", "tokens"))
            )
            self.assertEqual(list(found), expected)
            self.assertEqual(arrays["windows/embedding"].shape, (len(expected), 128))

    def test_a_window_knows_the_document_before_it(self):
        # A window's vector is the mean of its own tokens' hidden states, which depend on all tokens before.
        single, wide = self.embed("--window", 1), self.embed("--window", 30)
        for row, (document, first, count) in enumerate(
            zip(*(wide[f"windows/{name}"] for name in ("document", "first_token", "tokens")))
        ):
            own = single["windows/embedding"][single["windows/document"] == document][first : first + count]
            error = numpy.abs(own.astype(numpy.float64).mean(axis=0) - wide["windows/embedding"][row]).max()
            self.assertLess(error, 1e-5 * numpy.abs(own).max())

    def test_the_mean_of_windows_of_equal_length_is_the_documents(self):
        arrays = self.embed("--window", 50)
        rows = arrays["windows/embedding"][arrays["windows/document"] == 4].astype(numpy.float64)
        self.assertLess(
            numpy.abs(rows.mean(axis=0) - arrays["embeddings"][4]).max(), 1e-5 * numpy.abs(rows).max()
        )

    def test_a_window_as_long_as_the_document_is_the_document(self):
        for pool in ("mean", "last"):
            arrays = self.embed("--window", 1000, "--pool", pool)
            self.assertEqual(arrays["windows/embedding"].tobytes(), arrays["embeddings"].tobytes())

    def test_normalized_vectors_have_length_1_and_the_same_direction(self):
        for pool in ("mean", "last"):
            plain = self.embed("--window", 30, "--pool", pool)
            unit = self.embed("--window", 30, "--pool", pool, "--normalize")
            for name in ("embeddings", "windows/embedding"):
                self.assertGreater(numpy.abs(length(plain[name]) - 1).max(), 0.1)
                self.assertLess(numpy.abs(length(unit[name]) - 1).max(), 1e-6)
                self.assertLess(
                    numpy.abs(plain[name] / length(plain[name])[:, None] - unit[name]).max(), 1e-6
                )

    def test_float16_is_the_rounding_of_float32(self):
        for options in ([], ["--normalize"]):
            wide = self.embed("--window", 30, *options)
            narrow = self.embed("--window", 30, "--dtype", "float16", *options)
            for name in ("embeddings", "windows/embedding"):
                self.assertEqual(narrow[name].dtype, numpy.float16)
                self.assertEqual(narrow[name].tobytes(), wide[name].astype(numpy.float16).tobytes())

    def test_saved_states_do_not_change_the_rest(self):
        plain, more = self.embed("--window", 30), self.embed("--window", 30, "--save-states")
        for name, array in plain.items():
            self.assertEqual(more[name].tobytes(), array.tobytes(), name)
        self.assertEqual(more["states/wkv"].shape, (5, 3, 2, 64, 64))
        self.assertEqual(more["states/shift"].shape, (5, 3, 2, 128))

    def test_first_scores(self):
        for start, known in (("none", False), ("0", True)):
            _, arrays = self.job("score", self.source, "--start-token", start)
            self.assertEqual(numpy.diff(arrays["scores/offset"]).tolist(), self.LENGTHS)
            first = arrays["scores/offset"][:-1]
            self.assertEqual(
                numpy.isfinite(arrays["scores/logprob"][first]).tolist(), [known] * len(self.LENGTHS)
            )
            rest = numpy.delete(arrays["scores/logprob"], first)
            self.assertTrue((rest <= 0).all() and numpy.isfinite(rest).all())

    def test_scores_are_probabilities(self):
        # After the same beginning, the probabilities of all possible next tokens add up to 1.
        vocab, beginning = 271, make_tokens(70, seed=3)
        source = self.documents([beginning + [token] for token in range(vocab)], "next.jsonl")
        _, arrays = self.job("score", source, "--precision", "fp32")
        last = arrays["scores/logprob"][arrays["scores/offset"][1:] - 1]
        self.assertAlmostEqual(numpy.exp(last.astype(numpy.float64)).sum(), 1, places=5)
        # And no document's scores depend on tokens that come later.
        rows = arrays["scores/logprob"].reshape(vocab, -1)[:, :-1]
        self.assertTrue(all(row.tobytes() == rows[0].tobytes() for row in rows))


class EmbeddingModelTest(JobTest):
    """An RWKV-7 without a head embeds as EmbeddingRWKV was trained to: the hidden state of an end token."""

    def setUp(self):
        super().setUp()
        self.model = make_model(
            self.folder / "embedding.safetensors", layers=1, channels=64, vocab=65536, headless=True
        )
        self.source = self.documents(["in the beginning", "the river runs"])
        self.options = ("--tokenizer", self.vocabulary())

    def embed(self, *options, source=None, model=None):
        return self.job("embed", source or self.source, *self.options, *options, model=model or self.model)

    def test_it_is_chosen_by_itself_and_said(self):
        attributes, found = self.embed()
        self.assertEqual((attributes["pool"], attributes["end_token"]), ("last", 65535))
        _, expected = self.embed("--pool", "last", "--end-token", 65535)
        self.assert_same(found, expected)
        _, means = self.embed("--pool", "mean", "--end-token", 65535)
        self.assertNotEqual(means["embeddings"].tobytes(), expected["embeddings"].tobytes())
        done = run("embed", "--model", self.model, "--input", self.source, "--output", self.folder / "o.h5", *self.options)
        self.assertIn("--end-token 65535", done.err)

    def test_it_can_be_overridden(self):
        attributes, _ = self.embed("--pool", "mean", "--end-token", "none")
        self.assertEqual((attributes["pool"], attributes["end_token"]), ("mean", -1))

    def test_given_tokens_are_left_as_they_are(self):
        attributes, _ = self.embed(source=self.documents([[5, 6, 7]], "tokens.jsonl"))
        self.assertEqual((attributes["pool"], attributes["end_token"]), ("last", -1))

    def test_a_model_with_a_head_is_none(self):
        model = make_model(self.folder / "head.safetensors", layers=1, channels=64, vocab=65536)
        attributes, _ = self.embed(model=model)
        self.assertEqual((attributes["pool"], attributes["end_token"]), ("mean", -1))


if __name__ == "__main__":
    unittest.main()
