"""Protects: the same text gives the same numbers, whatever it comes in; rows follow the input's order."""

import gzip
import shutil
import subprocess
import unittest

import numpy

from support import GOLDEN_MODEL, JobTest, PIECES, golden, make_text, make_tokens, read_output, run

TEXTS = [make_text(1500, seed=1), "a", make_text(300, seed=2) + "\r\n\0 the end"]


class InputsTest(JobTest):
    def setUp(self):
        super().setUp()
        self.words = ("--tokenizer", self.vocabulary())
        _, self.expected = self.job("score", self.documents(TEXTS), *self.words, "--save-states")

    def score(self, source, **how):
        return self.job("score", source, *self.words, "--save-states", **how)[1]

    def assert_numbers(self, arrays, documents=range(len(TEXTS))):
        for row, document in enumerate(documents):
            begin, end = arrays["scores/offset"][row : row + 2]
            first, last = self.expected["scores/offset"][document : document + 2]
            self.assertEqual(
                arrays["scores/logprob"][begin:end].tobytes(),
                self.expected["scores/logprob"][first:last].tobytes(),
                document,
            )
            for name in ("states/wkv", "states/shift", "documents/tokens", "documents/bytes"):
                self.assertEqual(arrays[name][row].tobytes(), self.expected[name][document].tobytes(), name)

    def ids(self, arrays):
        return [name.decode().rstrip("\0") for name in arrays["documents/id"]]

    def test_tokens_and_bytes_are_counted(self):
        self.assertEqual(self.expected["documents/bytes"].tolist(), [len(text.encode()) for text in TEXTS])
        for text, tokens in zip(TEXTS, self.expected["documents/tokens"]):
            # The longest piece is taken first, so pieces of several bytes save as much.
            self.assertLessEqual(tokens, len(text.encode()))
        self.assertEqual(self.expected["documents/tokens"][1], 1)
        self.assertEqual(self.ids(self.expected), ["d0", "d1", "d2"])

    def test_text_file(self):
        for packed, suffix in ((lambda data: data, ""), (gzip.compress, ".gz")):
            path = self.folder / f"long.txt{suffix}"
            path.write_bytes(packed(TEXTS[0].encode()))
            arrays = self.score(path)
            self.assert_numbers(arrays, [0])
            self.assertEqual(self.ids(arrays), ["long.txt"])

    def test_directory_in_the_order_of_names(self):
        corpus = self.folder / "corpus"
        (corpus / "b").mkdir(parents=True)
        (corpus / "c.txt").write_bytes(TEXTS[2].encode())
        (corpus / "a.txt.gz").write_bytes(gzip.compress(TEXTS[0].encode()))
        (corpus / "b" / "x.txt").write_bytes(TEXTS[1].encode())
        (corpus / ".hidden").write_bytes(b"not a document")
        arrays = self.score(corpus)
        self.assert_numbers(arrays)
        self.assertEqual(self.ids(arrays), ["a.txt", "b/x.txt", "c.txt"])

    def test_compressed_lines(self):
        lines = self.documents(TEXTS)
        packed = self.folder / "corpus.jsonl.gz"
        packed.write_bytes(gzip.compress(lines.read_bytes()))
        self.assert_same(self.score(packed), self.expected)

    @unittest.skipIf(not shutil.which("zstd"), "the program zstd is not installed")
    def test_zstandard(self):
        lines = self.documents(TEXTS)
        subprocess.run(["zstd", "-q", lines], check=True)
        self.assert_same(self.score(self.folder / "corpus.jsonl.zst"), self.expected)
        self.assert_same(
            self.score("-.jsonl.zst", stdin=(self.folder / "corpus.jsonl.zst").read_bytes()), self.expected
        )

    def test_standard_input(self):
        arrays = self.score("-", stdin=TEXTS[0].encode())
        self.assert_numbers(arrays, [0])
        self.assertEqual(self.ids(arrays), ["stdin"])
        lines = self.documents(TEXTS).read_bytes()
        self.assert_same(self.score("-.jsonl", stdin=lines), self.expected)
        self.assert_same(self.score("-.jsonl.gz", stdin=gzip.compress(lines)), self.expected)

    def test_lines_without_ids_are_named_by_their_number(self):
        path = self.folder / "plain.jsonl"
        path.write_text(
            '{"tokens": [1]}\n\n{"tokens": [2], "id": 17}\n{"tokens": [3], "title": {"a": [null]}}'
        )
        _, arrays = self.job("embed", path)
        self.assertEqual(self.ids(arrays), ["plain.jsonl:1", "17", "plain.jsonl:4"])

    def test_a_byte_order_mark_is_no_text(self):
        path = self.folder / "marked.txt"
        path.write_bytes(b"\xef\xbb\xbf" + TEXTS[0].encode())
        begin, end = self.expected["scores/offset"][:2]
        self.assertEqual(
            self.score(path)["scores/logprob"].tobytes(), self.expected["scores/logprob"][begin:end].tobytes()
        )

    def test_the_tokenizer_is_used(self):
        text = "the" + PIECES[0] + PIECES[3]
        _, by_text = self.job("embed", self.documents([text]), *self.words)
        _, by_tokens = self.job("embed", self.documents([[byte + 1 for byte in b"the"] + [257, 260]]))
        self.assertEqual(by_text["embeddings"].tobytes(), by_tokens["embeddings"].tobytes())

    def test_ids_beyond_ascii(self):
        path = self.folder / "names.jsonl"
        names = ["Flüsse", "河", "a b\tc", "x" * 300]
        path.write_text(
            "".join('{"tokens": [1], "id": "%s"}\n' % name.replace("\t", "\\t") for name in names)
        )
        self.assertEqual(self.ids(self.job("embed", path)[1]), names)


class StartAndEndTokensTest(JobTest):
    def setUp(self):
        super().setUp()
        self.tokens = golden()["tokens"].tolist()

    def test_they_are_as_if_they_were_part_of_the_document(self):
        plain = self.documents([self.tokens], "plain.jsonl")
        longer = self.documents([[9] + self.tokens + [11]], "longer.jsonl")
        _, expected = self.job("score", longer, "--save-states")
        _, found = self.job("score", plain, "--save-states", "--start-token", 9, "--end-token", 11)
        self.assertEqual(found["scores/logprob"].tobytes(), expected["scores/logprob"][1:].tobytes())
        for name in ("states/wkv", "states/shift"):
            self.assertEqual(found[name].tobytes(), expected[name].tobytes(), name)
        # The start token is no token of the document; the end token is.
        self.assertEqual(found["documents/tokens"].tolist(), [len(self.tokens) + 1])

    def test_auto(self):
        text, tokens = self.documents(["the sea"], "text.jsonl"), self.documents(
            [self.tokens], "tokens.jsonl"
        )
        words = ("--tokenizer", self.vocabulary())
        for command, source, options, start in (
            ("score", text, words, 0),
            ("score", tokens, (), -1),
            ("embed", text, words, -1),
            ("embed", tokens, (), -1),
        ):
            attributes, by_auto = self.job(command, source, *options)
            self.assertEqual(attributes["start_token"], start)
            _, said = self.job(command, source, *options, "--start-token", "none" if start < 0 else start)
            self.assert_same(by_auto, said)

    def test_the_start_token_is_in_no_window_and_no_mean(self):
        source = self.documents([self.tokens])
        _, arrays = self.job("embed", source, "--start-token", 5, "--window", 1, "--precision", "fp32")
        own = arrays["windows/embedding"]
        self.assertEqual(len(own), len(self.tokens))
        self.assertLess(
            numpy.abs(own.astype(numpy.float64).mean(axis=0) - arrays["embeddings"][0]).max(), 1e-5
        )
        _, longer = self.job(
            "embed", self.documents([[5] + self.tokens], "longer.jsonl"), "--window", 1, "--precision", "fp32"
        )
        self.assertEqual(own.tobytes(), longer["windows/embedding"][1:].tobytes())


class ConfigurationFileTest(JobTest):
    def test_it_says_options_and_the_command_line_wins(self):
        source = self.documents([make_tokens(100)])
        config, output = self.folder / "run.ini", self.folder / "configured.h5"
        config.write_text(
            f"# a comment\nmodel = {GOLDEN_MODEL}\ninput = {source}\noutput = {output}\npool = last\n"
            "window = 30\nnormalize = true\nprecision = fp32\n"
        )
        done = run("embed", "--config", config, "--window", 40)
        self.assertEqual(done.code, 0, done.err)
        attributes, arrays = read_output(output)
        self.assertEqual(
            [attributes[name] for name in ("pool", "window", "normalize", "precision")],
            ["last", 40, 1, "fp32"],
        )
        _, expected = self.job(
            "embed", source, "--pool", "last", "--window", 40, "--normalize", "--precision", "fp32"
        )
        self.assert_same(arrays, expected)


if __name__ == "__main__":
    unittest.main()
