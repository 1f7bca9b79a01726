"""Protects: models of other shapes than the golden one give the same bytes on several ranks as on one.

A layer's state travels in groups of heads: few heads are one group, many do not divide evenly.
"""

import unittest

from support import JobTest, make_model, make_tokens

SHAPES = {
    "one layer, one head": {"layers": 1, "channels": 64},
    "eleven heads": {"layers": 2, "channels": 704},
    "heads of 32": {"layers": 3, "channels": 288, "head_size": 32},
    "heads of 128": {"layers": 2, "channels": 256, "head_size": 128},
    "odd inner sizes": {
        "layers": 4,
        "channels": 192,
        "ffn": 200,
        "rank_decay": 8,
        "rank_rate": 24,
        "rank_value": 16,
        "rank_gate": 40,
        "vocab": 301,
    },
    "fp16 weights": {"layers": 2, "channels": 128, "dtype": "fp16"},
    "fp32 weights": {"layers": 2, "channels": 128, "dtype": "fp32"},
}


class ShapesTest(JobTest):
    def test_the_same_on_three_ranks(self):
        source = self.documents([make_tokens(count, seed=count) for count in (330, 64, 3, 65)])
        for what, shape in SHAPES.items():
            model = make_model(self.folder / "model.safetensors", **shape)
            # What travels is fp32 in either precision.
            for command, precision in (("embed", "fp32"), ("score", "bf16")):
                with self.subTest(shape=what, precision=precision):
                    options = ("--precision", precision, "--save-states")
                    _, expected = self.job(command, source, *options, "--block-tokens", 512, model=model)
                    self.assertEqual(set(expected["documents/status"]), {1})
                    ranks = ("--block-tokens", 64, "--transport", "threads", "--ranks", 3)
                    _, found = self.job(command, source, *options, *ranks, model=model)
                    self.assert_same(found, expected, what)


if __name__ == "__main__":
    unittest.main()
