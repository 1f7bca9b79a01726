"""Protects: convert keeps every weight, under the official names, and never harms a file that is there."""

import json
import unittest

import numpy

from support import BAD_INPUT, GOLDEN_MODEL, JobTest, make_model, make_tokens, read_pth, read_safetensors, run


class ConvertTest(JobTest):
    def convert(self, source, *options, name="out.safetensors"):
        out = self.folder / name
        done = run("convert", source, out, *options)
        self.assertEqual(done.code, 0, done.err)
        return out

    def test_the_results_of_the_model_do_not_change(self):
        source = self.documents([make_tokens(200)])
        _, expected = self.job("score", source, "--precision", "fp32")
        for dtype in ("keep", "fp32", "bf16"):
            converted = self.convert(GOLDEN_MODEL, "--dtype", dtype, name=f"{dtype}.safetensors")
            _, found = self.job("score", source, "--precision", "fp32", model=converted)
            self.assert_same(found, expected, dtype)

    def test_weights_are_those_of_the_file(self):
        expected = read_pth(GOLDEN_MODEL)
        found = read_safetensors(self.convert(GOLDEN_MODEL, "--dtype", "fp32"))
        self.assertEqual(sorted(found), sorted(expected))
        for name, array in expected.items():
            self.assertEqual(found[name].shape, array.shape, name)
            self.assertEqual(found[name].tobytes(), array.tobytes(), name)

    def test_fp16_rounds_to_nearest(self):
        wide = make_model(self.folder / "wide.safetensors", layers=1, channels=64, dtype="fp32")
        found = read_safetensors(self.convert(wide, "--dtype", "fp16"))
        for name, array in read_safetensors(wide).items():
            self.assertEqual(found[name].tobytes(), array.astype(numpy.float16).tobytes(), name)

    def test_inspect_knows_the_outcome(self):
        found = json.loads(run("inspect", self.convert(GOLDEN_MODEL, "--dtype", "fp32"), "--json").out)
        self.assertEqual((found["generation"], found["weights"], found["naming"]), ("rwkv7", "fp32", "official"))

    def refuse(self, *arguments):
        done = run("convert", *arguments)
        self.assertEqual(done.code, BAD_INPUT, done.err)
        return done.err

    def test_refusals(self):
        taken = self.folder / "taken.safetensors"
        taken.write_bytes(b"precious")
        self.assertIn("--overwrite", self.refuse(GOLDEN_MODEL, taken))
        self.assertEqual(taken.read_bytes(), b"precious")
        own = self.convert(GOLDEN_MODEL)
        self.assertIn("is the file to convert", self.refuse(own, own, "--overwrite"))
        self.assertIn("fp8", self.refuse(GOLDEN_MODEL, self.folder / "x.safetensors", "--dtype", "fp8"))
        self.assertIn("got 1", self.refuse(GOLDEN_MODEL))
        self.assertIn("no weight file", self.refuse(taken, self.folder / "x.safetensors"))
        self.assertIn("end in .safetensors", self.refuse(GOLDEN_MODEL, self.folder / "x.pth"))
        self.assertEqual(list(self.folder.glob("x*")), [])

    def test_overwrite(self):
        taken = self.folder / "out.safetensors"
        taken.write_bytes(b"old")
        self.convert(GOLDEN_MODEL, "--overwrite")
        self.assertGreater(taken.stat().st_size, 1000)


if __name__ == "__main__":
    unittest.main()
