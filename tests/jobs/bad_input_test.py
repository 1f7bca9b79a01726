"""Protects: a bad model or corpus ends with exit code 2 and a message that names file and line.

A bad document fails by itself, with exit code 3 and its reason in the output.
"""

import gzip
import json
import struct
import unittest

import numpy

from refusal import RefusalTest
from support import GOLDEN, GOLDEN_MODEL, SOME_FAILED, make_model, read_output


class BadModelTest(RefusalTest):
    def test_files_that_are_no_models(self):
        missing = self.folder / "missing.pth"
        self.refuse(model=missing, words=[missing, "No such file"])
        self.refuse(model=self.folder, words=[self.folder])
        notes = self.write("notes.pth", "dear diary " * 100)
        self.refuse(model=notes, words=[notes, "no weight file"])
        self.refuse(model=self.write("empty.pth", b""), words=["empty.pth", "0 bytes"])
        self.refuse(model=GOLDEN.parent / "checkpoint" / "views.pth", words=["views.pth", "emb.weight"])

    def test_truncated_models(self):
        whole = GOLDEN_MODEL.read_bytes()
        for share in (0.001, 0.5, 0.99999):
            cut = self.write("cut.pth", whole[: int(len(whole) * share)])
            self.refuse(model=cut, words=[cut, "downloaded completely"])
        whole = make_model(self.folder / "whole.safetensors").read_bytes()
        for length in (4, 100, len(whole) - 1):
            cut = self.write("cut.safetensors", whole[:length])
            self.refuse(model=cut, words=[cut, "downloaded completely"])

    def test_tensors_of_wrong_shape_or_missing(self):
        whole = make_model(self.folder / "whole.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", whole[:8])
        for name in ("blocks.1.att.w1", "blocks.2.ffn.key.weight", "emb.weight"):
            header = json.loads(whole[8 : 8 + size])
            header[name]["shape"].reverse()
            bad = self.rewrite(header, whole[8 + size :])
            self.refuse(model=bad, words=[bad, name])
            del header[name]
            bad = self.rewrite(header, whole[8 + size :])
            self.refuse(model=bad, words=[bad, name])

    def rewrite(self, header, data):
        text = json.dumps(header).encode()
        return self.write("bad.safetensors", struct.pack("<Q", len(text)) + text + data)

    def test_a_model_without_a_head_embeds_but_does_not_score(self):
        headless = make_model(self.folder / "headless.safetensors", headless=True)
        self.refuse(command="score", model=headless, words=[headless, "head.weight"])
        _, arrays = self.job("embed", self.good, model=headless)
        self.assertTrue(numpy.isfinite(arrays["embeddings"]).all())


class BadCorpusTest(RefusalTest):
    def test_inputs_without_documents(self):
        missing = self.folder / "missing.jsonl"
        self.refuse(source=missing, words=[missing, "No such file"])
        (self.folder / "empty").mkdir()
        self.refuse(source=self.folder / "empty", words=[self.folder / "empty", "no documents"])
        self.refuse(source=self.write("empty.jsonl", ""), words=["empty.jsonl", "no documents"])
        self.refuse(source=self.write("blank.jsonl", "\n  \n"), words=["blank.jsonl", "no documents"])
        self.refuse(source="-.jsonl", words=["no documents"])

    def test_bad_lines(self):
        good = '{"id": "first", "tokens": [1, 2]}\n\n'
        for line, words in (
            (b'{"tokens": [1, 2', ["JSON"]),
            (b"hello", ["JSON"]),
            (b"[1, 2]", ["not a JSON object"]),
            (b'{"id": "x"}', ['neither "text" nor "tokens"']),
            (b'{"text": "a", "tokens": [1]}', ['both "text" and "tokens"']),
            (b'{"tokens": 5}', ["tokens"]),
            (b'{"text": 5}', ["text"]),
            (b'{"tokens": [1.5]}', ["integer"]),
            (b'{"tokens": [99999999999]}', ["integer"]),
            (b'{"tokens": [1], "id": ""}', ["id is empty"]),
            (b'{"tokens": [1], "id": [1]}', ["id"]),
            (b'{"tokens": [1], "id": "\xff"}', ["UTF-8"]),
            (b'{"text": "no tokenizer was loaded"}', ["--tokenizer"]),
            (b'{"tokens": [1], "id": "first"}', ['"first"', "twice", "line 1"]),
        ):
            source = self.write("bad.jsonl", good.encode() + line + b"\n")
            self.refuse(source=source, words=[f"{source} line 3", *words])

    def test_text_and_tokens_mixed_need_a_decision_when_scored(self):
        source = self.write("mixed.jsonl", '{"tokens": [1, 2]}\n{"text": "the sea"}\n')
        self.refuse(
            "--tokenizer",
            self.vocabulary(),
            command="score",
            source=source,
            words=["line 2", "--start-token none", "--start-token 0"],
        )
        _, arrays = self.job("score", source, "--tokenizer", self.vocabulary(), "--start-token", "0")
        self.assertEqual(arrays["documents/status"].tolist(), [1, 1])

    def test_damaged_compression(self):
        lines = b"".join(b'{"id": %d, "tokens": [1, 2]}\n' % i for i in range(1000))
        for name, packed in (("c.jsonl.gz", gzip.compress(lines)), ("c.jsonl.zst", zstd(lines))):
            cut = self.write(name, packed[: len(packed) // 2])
            self.refuse(source=cut, words=[cut, "cut off"])
            self.refuse(source=self.write(name, packed[:-2]), words=[cut])
            self.refuse(source=self.write(name, b"this is not packed at all"), words=[cut, "not a sound"])
            self.refuse(source=self.write(name, b""), words=[cut])

    def test_tokenizers(self):
        text = self.write("a.txt", "the river")
        missing, notes = self.folder / "missing.txt", self.write("notes.txt", "dear diary")
        self.refuse("--tokenizer", missing, source=text, words=[missing, "not a file"])
        self.refuse("--tokenizer", notes, source=text, words=[notes, "no vocabulary"])
        self.refuse(
            source=text, environment={"RIVERRUN_VOCAB": str(missing)}, words=["RIVERRUN_VOCAB", missing]
        )
        small = make_model(self.folder / "small.safetensors", vocab=200)
        vocabulary = self.vocabulary()
        self.refuse(
            "--tokenizer", vocabulary, model=small, source=text, words=[vocabulary, small, "--tokenizer"]
        )


class FailedDocumentTest(RefusalTest):
    def test_a_token_outside_the_vocabulary(self):
        for token in (271, -1):
            self.fail_one(
                self.documents([[1, 2], [3, token], [4]]),
                document=1,
                others=2,
                words=[token, "position 1", "271"],
            )

    def test_a_document_without_tokens(self):
        self.fail_one(self.documents([[1, 2], [], [4]]), document=1, others=2, words=["no tokens"])
        self.fail_one(
            self.write("empty.txt", ""),
            "--tokenizer",
            self.vocabulary(),
            document=0,
            others=0,
            words=["no tokens"],
        )
        self.fail_one("-", "--tokenizer", self.vocabulary(), document=0, others=0, words=["no tokens"])
        # The start token alone is not the document's own.
        self.fail_one(
            self.documents([[], [4]]), "--start-token", "0", document=0, others=1, words=["no tokens"]
        )

    def test_an_end_token_makes_an_empty_document_one_of_one_token(self):
        _, arrays = self.job("embed", self.documents([[], [7]]), "--end-token", 7)
        self.assertEqual(arrays["documents/tokens"].tolist(), [1, 2])
        _, alone = self.job("embed", self.documents([[7]]))
        self.assertEqual(arrays["embeddings"][0].tobytes(), alone["embeddings"][0].tobytes())

    def test_text_that_is_not_utf8(self):
        corpus = self.folder / "corpus"
        corpus.mkdir()
        (corpus / "a.txt").write_text("the river")
        (corpus / "b.txt").write_bytes(b"the\xff river")
        vocabulary = self.vocabulary()
        self.fail_one(
            corpus,
            "--tokenizer",
            vocabulary,
            document=1,
            others=1,
            words=["b.txt", "byte 255", "offset 3", "--keep-invalid-utf8"],
        )
        _, kept = self.job("embed", corpus, "--tokenizer", vocabulary, "--keep-invalid-utf8")
        self.assertEqual(kept["documents/status"].tolist(), [1, 1])

    def wild_model(self, tensor, rows):
        """A model of 3 layers with infinities in some rows of a tensor."""
        whole = make_model(self.folder / "whole.safetensors", dtype="fp32").read_bytes()
        (size,) = struct.unpack("<Q", whole[:8])
        entry = json.loads(whole[8 : 8 + size])[tensor]
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        values = numpy.frombuffer(whole[begin:end], "<f4").reshape(entry["shape"]).copy()
        values[rows] = numpy.inf
        return self.write("wild.safetensors", whole[:begin] + values.tobytes() + whole[end:])

    def test_a_model_that_overflows(self):
        done = self.start(model=self.wild_model("ln_out.weight", slice(None)))
        self.assertEqual(done.code, SOME_FAILED, done.err)
        arrays = read_output(self.output)[1]
        self.assertEqual(arrays["documents/status"].tolist(), [2, 2])
        for error in arrays["documents/error"]:
            self.assertIn(b"behind the last layer", error)
            self.assertIn(b"see whether the weights are whole", error)

    def test_a_number_that_overflows_is_named_by_layer_and_token(self):
        contents = [[1, 2] * 90, [1, 2] * 65 + [9] + [3] * 100, [4, 9]]
        in_state, in_output = ["--ranks", "2", "--pool", "last"], ["--pool", "mean"]
        cases = (("emb.weight", 9, [b"", b"in layer 0 at token 130 ", b"in layer 0 at token 1 "], (in_state, in_output)),
                 ("blocks.2.ffn.value.weight", 5, [b"in layer 2 at token 0 "] * 3, (in_output,)))
        for tensor, rows, errors, ways in cases:
            model = self.wild_model(tensor, rows)
            for options in ways:
                options = [*options, "--block-tokens", "64"]
                done = self.start(*options, "--overwrite", model=model, source=self.documents(contents))
                self.assertEqual(done.code, SOME_FAILED, done.err)
                arrays = read_output(self.output)[1]
                for found, expected in zip(arrays["documents/error"], errors, strict=True):
                    self.assertIn(expected, found)
                self.assertEqual(arrays["documents/status"].tolist(), [2 if error else 1 for error in errors])

    def test_the_others_are_right_and_resume_keeps_it_so(self):
        contents = [[1, 2, 3], [], [4] * 200, [5, 300], [6] * 70]
        options = ["--window", "16", "--save-states", "--block-tokens", "64"]
        done = self.start(*options, source=self.documents(contents))
        self.assertEqual(done.code, SOME_FAILED)
        found = read_output(self.output)[1]
        _, expected = self.job(
            "embed", self.documents([contents[i] for i in (0, 2, 4)], "sound.jsonl"), *options
        )
        for name in ("embeddings", "states/wkv", "states/shift"):
            self.assertEqual(found[name][[0, 2, 4]].tobytes(), expected[name].tobytes(), name)
        self.assertEqual(found["windows/embedding"].tobytes(), expected["windows/embedding"].tobytes())
        before = self.output.read_bytes()
        again = self.start(*options, "--resume", source=self.folder / "corpus.jsonl")
        self.assertEqual(again.code, SOME_FAILED, again.err)
        self.assertEqual(self.output.read_bytes(), before)


def zstd(data):
    """A Zstandard frame of raw blocks without a checksum: Python's standard library has no compressor."""
    blocks = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    packed = struct.pack("<IB", 0xFD2FB528, 0b10100000) + struct.pack("<I", len(data))
    for i, block in enumerate(blocks):
        header = len(block) << 3 | (i == len(blocks) - 1)
        packed += struct.pack("<I", header)[:3] + block
    return packed


if __name__ == "__main__":
    unittest.main()
