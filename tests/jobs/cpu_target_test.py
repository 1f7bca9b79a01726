"""Protects: RIVERRUN_CPU_TARGET computes the same model without newer instructions, with the same identity contract."""

import unittest

import numpy
from support import JobTest, make_model, make_tokens, read_output, run


def has(flag):
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return any(flag in line.split() for line in lines if line.startswith("flags"))


class CpuTargetTest(JobTest):
    def embed(self, name, kind, *options, target=None):
        output = self.folder / name
        done = run("embed", *kind, "--model", self.model, "--input", self.source, "--output", output,
                   *options, environment={"RIVERRUN_CPU_TARGET": target} if target else None)
        self.assertEqual(done.code, 0, done.err)
        return read_output(output)[1]["embeddings"]

    def compare(self, target, kind, tolerance, newer):
        self.model = make_model(self.folder / "model.safetensors", layers=2, channels=128)
        self.source = self.documents([make_tokens(count, seed=count) for count in (200, 3)])
        best = self.embed("best.h5", kind)
        one = self.embed("one.h5", kind, "--threads", 1, target=target)
        three = self.embed("three.h5", kind, "--transport", "threads", "--ranks", 3, "--threads", 2, target=target)
        self.assertEqual(one.tobytes(), three.tobytes())
        numpy.testing.assert_allclose(one, best, rtol=0, atol=tolerance * numpy.abs(best).max())
        if newer and has(newer):
            self.assertNotEqual(one.tobytes(), best.tobytes(), "both took the same instructions")

    @unittest.skipUnless(has("avx2"), "this machine has no AVX2")
    def test_avx2_has_the_same_model_and_the_same_bytes(self):
        # Products of fp32 have the same bits by design; what adds up over lanes has others.
        self.compare("avx2", ["--precision", "fp32"], 1e-4, newer="avx512f")

    @unittest.skipUnless(has("avx512bw"), "this machine has no AVX-512")
    def test_avx512_has_the_same_model_and_the_same_bytes(self):
        self.compare("avx512", ["--precision", "bf16"], 2e-2, newer="avx512_bf16")

    @unittest.skipUnless(has("avx512bw"), "this machine has no AVX-512")
    def test_avx512_has_the_same_int8_products(self):
        self.compare("avx512", ["--precision", "fp32", "--weights", "int8"], 0, newer=None)

    @unittest.skipIf(has("avx512f"), "this machine has AVX-512")
    def test_refuses_a_target_that_is_not_there(self):
        done = run("bench", "decode", "--batches", 1, environment={"RIVERRUN_CPU_TARGET": "avx512"})
        self.assertEqual(done.code, 2)
        self.assertIn("this machine does not have", done.err)

    def test_refuses_another_target(self):
        done = run("bench", "decode", "--batches", 1, environment={"RIVERRUN_CPU_TARGET": "sse9"})
        self.assertEqual(done.code, 2)
        self.assertIn("can only be avx2 or avx512", done.err)


if __name__ == "__main__":
    unittest.main()
