"""Protects: text is tokenised as the model's own tokenizer does it, and the choice of the tokenizer is told."""

import json
import shutil
import unittest

from support import BAD_INPUT, GOLDEN, JobTest, make_model, run

NEOX = GOLDEN.parent / "neox"
ROWS = 723  # of the small tokenizer.json


class NeoxTest(JobTest):
    def setUp(self):
        super().setUp()
        lines = [json.loads(line) for line in (NEOX / "expected.jsonl").read_text().splitlines()]
        self.recorded = [line for line in lines if line["tokens"] and "text" in line]
        models = self.folder / "models"
        models.mkdir()
        self.model = make_model(models / "neox.safetensors", layers=1, channels=64, vocab=ROWS + 5)
        self.beside = models / "tokenizer.json"
        shutil.copy(NEOX / "tokenizer.json", self.beside)
        self.texts = self.documents([line["text"] for line in self.recorded])

    def score(self, source, **how):
        return self.job("score", source, "--start-token", 0, model=self.model, **how)

    def test_text_equals_the_ids_of_the_reference_implementation(self):
        attributes, arrays = self.score(self.texts)
        self.assertEqual(attributes["tokenizer"], "gpt-neox")
        tokens = self.documents([line["tokens"] for line in self.recorded], "tokens.jsonl")
        _, expected = self.score(tokens)
        self.assertEqual(arrays["documents/tokens"].tolist(), expected["documents/tokens"].tolist())
        self.assertEqual(arrays["scores/logprob"].tobytes(), expected["scores/logprob"].tobytes())

    def test_the_choice_is_told_once(self):
        for command in (("score", "--output", self.folder / "told.h5"), ("plan",)):
            done = run(*command, "--model", self.model, "--input", self.texts)
            self.assertEqual(done.code, 0, done.err)
            told = [line for line in done.err.splitlines() if "tokenizer:" in line]
            self.assertEqual(len(told), 1, done.err)
            for part in ("gpt-neox", str(self.beside), "beside the model"):
                self.assertIn(part, told[0])

    def test_a_model_with_fewer_rows_refuses_it(self):
        small = make_model(self.folder / "small.safetensors", layers=1, channels=64, vocab=ROWS - 1)
        done = run("embed", "-m", small, "-i", self.texts, "-o", self.folder / "o.h5", "--tokenizer", self.beside)
        self.assertEqual(done.code, BAD_INPUT)
        self.assertIn("only 722 rows", done.err)

    def test_resume_refuses_another_tokenizer(self):
        output = self.folder / "resumed.h5"
        source = self.documents(["the river", "and the sea"], "short.jsonl")
        job = ("embed", "-m", self.model, "-i", source, "-o", output)
        self.assertEqual(run(*job).code, 0)
        self.assertEqual(run(*job, "--resume").code, 0)
        done = run(*job, "--resume", "--tokenizer", self.vocabulary())
        self.assertEqual(done.code, BAD_INPUT)
        self.assertIn("gpt-neox", done.err)


if __name__ == "__main__":
    unittest.main()
