"""Protects: RIVERRUN_CPU_TARGET=avx2 computes the same model without newer instructions, with the same identity contract."""

import unittest

import numpy
from support import JobTest, make_model, make_tokens, read_output, run

AVX2 = {"RIVERRUN_CPU_TARGET": "avx2"}


def has(flag):
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return any(flag in line.split() for line in lines if line.startswith("flags"))


class CpuTargetTest(JobTest):
    def embed(self, name, *options, environment=None):
        output = self.folder / name
        done = run("embed", "--precision", "fp32", "--model", self.model, "--input", self.source, "--output", output,
                   *options, environment=environment)
        self.assertEqual(done.code, 0, done.err)
        return read_output(output)[1]["embeddings"]

    @unittest.skipUnless(has("avx2"), "this machine has no AVX2")
    def test_the_same_model_and_the_same_bytes(self):
        self.model = make_model(self.folder / "model.safetensors", layers=2, channels=128)
        self.source = self.documents([make_tokens(count, seed=count) for count in (200, 3)])
        best = self.embed("best.h5")
        one = self.embed("one.h5", "--threads", 1, environment=AVX2)
        three = self.embed("three.h5", "--transport", "threads", "--ranks", 3, "--threads", 2, environment=AVX2)
        self.assertEqual(one.tobytes(), three.tobytes())
        numpy.testing.assert_allclose(one, best, rtol=0, atol=1e-4 * numpy.abs(best).max())
        if has("avx512f"):
            self.assertNotEqual(one.tobytes(), best.tobytes(), "both took the same instructions")

    def test_refuses_another_target(self):
        done = run("bench", "decode", "--batches", 1, environment={"RIVERRUN_CPU_TARGET": "sse9"})
        self.assertEqual(done.code, 2)
        self.assertIn("can only be avx2", done.err)


if __name__ == "__main__":
    unittest.main()
