"""Protects: `riverrun bench kernels` times every operation that a generation uses, and says so as a table and as JSON;
`riverrun bench tokenizer` counts what it tokenises."""

import json
import unittest

from support import JobTest, make_model, make_text, make_vocabulary, run

EVERY = {"pack_matrix", "matmul", "embed", "shift_mix", "layer_norm", "log_prob", "sum_rows"}
WKV5 = {"wkv6", "wkv6_readout", "gate_add"}
WKV7 = {"wkv7_inputs", "wkv7", "wkv7_readout"}
OWN = {
    "rwkv4": {"wkv4", "gate", "gate_add"},
    "rwkv5.0": WKV5,
    "rwkv5.1": WKV5,
    "rwkv5.2": WKV5,
    "rwkv6": WKV5 | {"dynamic_mix", "wkv6_decay"},
    "rwkv7": WKV7,
    "rwkv7a": WKV7 | {"token_matrix", "gate"},
}


class KernelsTest(JobTest):
    def bench(self, *options):
        done = run("bench", "kernels", "--threads", 2, "--precision", "fp32", *options)
        self.assertEqual(done.code, 0, done.err)
        return done.out

    def test_every_operation_of_every_generation(self):
        for generation, own in OWN.items():
            with self.subTest(generation=generation):
                model = make_model(self.folder / "model.safetensors", generation=generation, layers=2)
                rows = json.loads(self.bench("--model", model, "--block-tokens", 32, "--rounds", 1, "--json"))
                self.assertEqual({row["operation"] for row in rows}, EVERY | own)
                for row in rows:
                    self.assertGreater(row["us"], 0, row)
                    self.assertGreater(row["calls"], 0, row)
                    self.assertGreater(row["share of ceiling"], 0, row)
                    self.assertGreater(row["GB/s"], 0, row)
                    if row["operation"] in ("matmul", "wkv4", "wkv6", "wkv7"):
                        self.assertGreater(row["GFLOP/s"], 0, row)
                self.assertAlmostEqual(sum(row["share of block"] for row in rows), 1, places=9)

    def test_calls_are_those_of_one_block(self):
        model = make_model(self.folder / "model.safetensors", layers=3)
        rows = json.loads(self.bench("--model", model, "--block-tokens", 1, "--rounds", 4, "--json"))
        calls = {row["operation"]: row["calls"] for row in rows if row["operation"] != "matmul"}
        self.assertEqual((calls["wkv7"], calls["embed"], calls["sum_rows"]), (3, 1, 1))

    def test_the_table(self):
        model = make_model(self.folder / "model.safetensors", layers=2)
        lines = self.bench("--model", model, "--block-tokens", 16, "--rounds", 1).splitlines()
        for word in ("operation", "shape", "us", "GFLOP/s", "GB/s", "ceiling"):
            self.assertIn(word, lines[0])
        self.assertTrue(any(" wkv7_readout " in line for line in lines))


class TokenizerTest(JobTest):
    def test_counts_and_speeds(self):
        text = make_text(100000)
        (self.folder / "text.txt").write_text(text, encoding="utf-8")
        vocabulary = make_vocabulary(self.folder / "vocabulary.txt")
        done = run("bench", "tokenizer", "--tokenizer", vocabulary, "--input", self.folder / "text.txt", "--json")
        self.assertEqual(done.code, 0, done.err)
        (row,) = json.loads(done.out)
        self.assertEqual(row["MB"], len(text.encode()) / 1e6)
        self.assertEqual(row["documents"], 1)
        self.assertEqual(row["bytes/token"], len(text.encode()) / row["tokens"])
        self.assertGreater(row["MB/s"], 0)
        self.assertGreater(row["MB/s of reading"], 0)

    def test_refuses_what_it_cannot_tokenise(self):
        self.assertIn("needs --tokenizer", run("bench", "tokenizer").err)
        vocabulary = make_vocabulary(self.folder / "vocabulary.txt")
        (self.folder / "bad.txt").write_bytes(b"\xff")
        done = run("bench", "tokenizer", "--tokenizer", vocabulary, "--input", self.folder / "bad.txt")
        self.assertEqual(done.code, 2)
        self.assertIn("UTF-8", done.err)


if __name__ == "__main__":
    unittest.main()
