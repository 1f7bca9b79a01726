"""Protects: which passages --extractive chooses, that their positions are those of the text, and that neither depends on how a
job is run."""

import unittest

import h5py
import numpy

from support import BAD_INPUT, GOLDEN_MODEL, SOME_FAILED, JobTest, make_model, make_text, make_tokens, read_output, run

K, WINDOW = 3, 16
SIZES = [1, 40, 300, 900, 2500]
CHOOSE = ("--extractive", K, "--window", WINDOW, "--precision", "fp32")


def best_cover(windows, count, weight=0.7):
    """Maximal marginal relevance, from its definition, in fp64."""
    rows = windows.astype(numpy.float64)
    unit = rows / numpy.linalg.norm(rows, axis=1, keepdims=True)
    mean = rows.sum(axis=0)
    relevance = unit @ (mean / numpy.linalg.norm(mean))
    chosen = []
    while len(chosen) < min(count, len(rows)):
        redundancy = (unit @ unit[chosen].T).max(axis=1) if chosen else numpy.zeros(len(rows))
        gain = weight * relevance - (1 - weight) * redundancy
        gain[chosen] = -numpy.inf
        chosen.append(int(gain.argmax()))
    return sorted(chosen)


class PassagesTest(JobTest):
    def setUp(self):
        super().setUp()
        self.tokenizer = self.vocabulary()
        self.texts = [make_text(size, seed=size)[:size] for size in SIZES]
        self.corpus = self.documents(self.texts)

    def choose(self, *options, source=None, **how):
        return self.job("summarize", source or self.corpus, "--tokenizer", self.tokenizer, *CHOOSE, *options, **how)[1]

    def test_the_windows_are_those_of_embed_and_the_passages_cover_them_best(self):
        arrays = self.choose()
        embed = self.job("embed", self.corpus, "--tokenizer", self.tokenizer, "--window", WINDOW, "--precision", "fp32")[1]
        for name, array in embed.items():
            self.assertEqual(arrays[name].tobytes(), array.tobytes(), name)
        rows = []
        for document in range(len(SIZES)):
            windows = embed["windows/embedding"][embed["windows/document"] == document]
            tokens = embed["documents/tokens"][document]
            for window in best_cover(windows, K):
                rows.append((document, window * WINDOW, min(WINDOW, tokens - window * WINDOW)))
        found = zip(*(arrays[f"passages/{name}"].tolist() for name in ("document", "first_token", "tokens")))
        self.assertEqual(list(found), rows)
        chosen = arrays["passages/first_token"][arrays["passages/document"] == len(SIZES) - 1]
        self.assertNotEqual(chosen.tolist(), [0, WINDOW, 2 * WINDOW])  # a choice was made

    def test_positions_are_those_of_the_text(self):
        arrays = self.choose()
        begin = arrays["passages/first_byte"]
        for row, document in enumerate(arrays["passages/document"]):
            data = self.texts[document].encode()[begin[row] : begin[row] + arrays["passages/bytes"][row]]
            self.assertGreater(len(data), 0)
            # A window may begin or end inside a character.
            self.assertEqual(arrays["passages/text"][row].decode().strip("\ufffd"), data.decode(errors="ignore"))
        self.assertTrue((begin >= arrays["passages/first_token"]).all())
        self.assertTrue((begin[arrays["passages/first_token"] > 0] > 0).all())

    def test_the_choice_does_not_depend_on_ranks_blocks_threads_or_a_start_token(self):
        expected = self.choose("--block-tokens", 512)
        for ways in (("--ranks", 2, "--transport", "threads"), ("--block-tokens", 48, "--threads", 2),
                     ("--ranks", 3, "--transport", "threads", "--block-tokens", 16)):
            self.assert_same(self.choose(*ways), expected, ways)
        with_start = self.choose("--start-token", 0)
        for name in ("document", "tokens"):
            self.assertEqual(with_start[f"passages/{name}"].tolist(), expected[f"passages/{name}"].tolist())

    def test_given_tokens_are_spelled(self):
        tokens = make_tokens(100, seed=3)
        arrays = self.choose(source=self.documents([tokens], "tokens.jsonl"))
        spelled = [bytes([token - 1]) if token <= 256 else None for token in tokens]
        for row, first in enumerate(arrays["passages/first_token"]):
            if None in spelled[: first + WINDOW]:
                continue
            self.assertEqual(arrays["passages/first_byte"][row], first)
            self.assertEqual(arrays["passages/bytes"][row], arrays["passages/tokens"][row])

    def test_a_model_without_a_head_will_do(self):
        model = make_model(self.folder / "headless.safetensors", headless=True)
        arrays = self.choose(model=model)
        windows = -(-arrays["documents/tokens"] // WINDOW)
        self.assertEqual(len(arrays["passages/text"]), numpy.minimum(windows, K).sum())

    def test_resume_completes_to_the_same_bytes(self):
        expected = self.choose()
        output = self.folder / f"output{self.outputs}.h5"
        with h5py.File(output, "r+") as file:
            file["documents/status"][[1, 4]] = 0
            mine = numpy.isin(file["passages/document"][:], [1, 4])
            for name in ("first_token", "tokens", "first_byte", "bytes"):
                file[f"passages/{name}"][mine] = 77
            file["passages/text"][mine] = b"x"
            file["windows/embedding"][list(file["windows/document"]).index(4) :] = 0
        resume = ("summarize", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", output, "--tokenizer",
                  self.tokenizer, "--threads", 1, "--resume", "--ranks", 2, "--transport", "threads")
        done = run(*resume, *CHOOSE)
        self.assertEqual(done.code, 0, done.err)
        self.assert_same(read_output(output)[1], expected)
        done = run(*resume, *CHOOSE, "--window", 17)
        self.assertEqual(done.code, BAD_INPUT)
        done = run(*resume, "--extractive", 2, "--window", WINDOW, "--precision", "fp32")
        self.assertEqual(done.code, BAD_INPUT)
        self.assertIn("extractive was 3 and would now be 2", done.err)

    def test_a_failed_document_has_no_passages(self):
        source = self.documents([make_tokens(50), [1, 2, 999], make_tokens(40)], "bad.jsonl")
        arrays = self.choose(source=source, expect=SOME_FAILED)
        self.assertEqual(arrays["documents/status"].tolist(), [1, 2, 1])
        self.assertEqual(arrays["passages/document"].tolist(), [0] * 3 + [2] * 3)

    def test_plain_files_hold_the_passages(self):
        folder = self.folder / "texts"
        arrays = self.choose("--also-text", folder)
        for document in range(len(SIZES)):
            text = (folder / f"d{document}.txt").read_bytes().decode()
            mine = (arrays["passages/document"] == document).nonzero()[0]
            self.assertEqual(text.count("## Tokens "), len(mine))
            for row in mine:
                first, tokens = arrays["passages/first_token"][row], arrays["passages/tokens"][row]
                self.assertIn(f"## Tokens {first} to {first + tokens - 1}\n\n{arrays['passages/text'][row].decode()}", text)

    def test_what_does_not_go_together_is_refused(self):
        for words, *options in (
            ("--extractive writes no texts", "--mode", "sections"),
            ("--extractive writes no texts", "--template", "world"),
            ("--extractive writes no texts", "--temperature", 1),
            ("--extractive writes no texts", "--top-k", 5),
            ("--extractive writes no texts", "--seed", 3),
            ("--extractive writes no texts", "--max-new-tokens", 9),
            ("--extractive writes no texts", "--section-tokens", 64),
            ("--extractive 257", "--extractive", 257),
            ("--window -1", "--window", -1),
            ("--window is the length", "--extractive", 0),
        ):
            given = dict(zip(CHOOSE[:4:2], CHOOSE[1:4:2]))
            given.update(zip(options[::2], options[1::2]))
            done = run("summarize", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", self.folder / "refused.h5",
                       "--tokenizer", self.tokenizer, *[word for pair in given.items() for word in pair])
            self.assertEqual(done.code, BAD_INPUT, done.err)
            self.assertIn(words, done.err)


if __name__ == "__main__":
    unittest.main()
