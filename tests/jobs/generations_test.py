"""Protects: every generation goes through the same jobs: the oracle's numbers come out, the same bytes on any rank."""

import json
import unittest

import numpy

from support import GOLDEN, JobTest, read_safetensors, run

GENERATIONS = ("v4", "v5.0", "v5.1", "v5.2", "v6", "v7", "v7a")


def log_softmax(logits):
    shifted = logits.astype(numpy.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted).sum(axis=-1, keepdims=True))


class GenerationsTest(JobTest):
    def setUp(self):
        super().setUp()
        self.folders = {name: GOLDEN.parent / name for name in GENERATIONS}

    def score(self, name, *options):
        tokens = read_safetensors(self.folders[name] / "expected.safetensors")["tokens"].tolist()
        source = self.documents([tokens, tokens[:5]], f"{name}.jsonl")
        return self.job(
            "score", source, "--precision", "fp32", "--save-states", "--block-tokens", 16, *options,
            model=self.folders[name] / "model.pth",
        )

    def test_scores_are_the_oracles(self):
        for name in GENERATIONS:
            expected = read_safetensors(self.folders[name] / "expected.safetensors")
            tokens, logits = expected["tokens"], expected["logits"]
            wanted = log_softmax(logits)[numpy.arange(len(tokens) - 1), tokens[1:]]
            _, arrays = self.score(name)
            found = arrays["scores/logprob"][1 : len(tokens)]
            # A log-probability is off by at most twice what a logit is off.
            self.assertLess(numpy.abs(found - wanted).max(), 2 * 2e-5 * numpy.abs(logits).max(), name)

    def test_states_are_the_oracles(self):
        for name in GENERATIONS:
            expected = read_safetensors(self.folders[name] / "expected.safetensors")
            _, arrays = self.score(name)
            wkv, shift = arrays["states/wkv"][0], arrays["states/shift"][0]
            entries = [expected[key] for key in sorted(expected) if key.startswith("state.")]
            per_layer = len(entries) // len(wkv)
            for layer, found in enumerate(wkv):
                time_row, *state, channel_row = entries[per_layer * layer : per_layer * (layer + 1)]
                if name == "v4":
                    wanted = numpy.stack([part.ravel() for part in state], axis=1)  # [D, 3]
                else:
                    wanted = state[0].reshape(found.shape)
                    if name.startswith(("v5", "v6")):  # the package keeps [key][value]
                        wanted = wanted.transpose(0, 2, 1)
                for what, a, b in (
                    ("state", found, wanted),
                    ("time row", shift[layer, 0], time_row.ravel()),
                    ("channel row", shift[layer, 1], channel_row.ravel()),
                ):
                    self.assertEqual(a.shape, b.shape, (name, layer, what))
                    self.assertLess(numpy.abs(a - b).max(), 1e-4 * numpy.abs(b).max(), (name, layer, what))

    def test_the_same_bytes_on_any_number_of_ranks(self):
        for name in GENERATIONS:
            attributes, expected = self.score(name)
            self.assertTrue(attributes["generation"].startswith("rwkv" + name[1]), attributes["generation"])
            for ranks in (2, 3):
                _, found = self.score(name, "--transport", "threads", "--ranks", ranks)
                self.assert_same(found, expected, f"{name}, {ranks} ranks")

    def test_inspect_and_plan_know_them(self):
        for name, folder in self.folders.items():
            done = run("inspect", folder / "model.pth", "--json")
            self.assertEqual(done.code, 0, done.err)
            found = json.loads(done.out)
            self.assertTrue(found["generation"].startswith("rwkv" + name[1]), found["generation"])
            self.assertEqual((found["container"], found["naming"]), ("pth (zip)", "official"))
            self.assertGreater(found["state_bytes"], 0)
            plan = run("plan", "--model", folder / "model.pth", "--tokens", 10000, "--ranks", 4)
            self.assertEqual(plan.code, 0, plan.err)
            self.assertIn(found["generation"], plan.out)

    def test_convert_changes_no_result(self):
        for name, folder in self.folders.items():
            converted = self.folder / f"{name}.safetensors"
            done = run("convert", folder / "model.pth", converted, "--dtype", "fp32")
            self.assertEqual(done.code, 0, done.err)
            tokens = read_safetensors(folder / "expected.safetensors")["tokens"].tolist()
            source = self.documents([tokens], f"{name}.jsonl")
            arrays = [
                self.job("score", source, "--precision", "fp32", model=model)[1]
                for model in (folder / "model.pth", converted)
            ]
            self.assert_same(arrays[0], arrays[1], name)


if __name__ == "__main__":
    unittest.main()
