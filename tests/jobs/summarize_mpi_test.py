"""Protects: texts are the same bytes under mpirun as in one process, and the states that ranks exchange arrive whole."""

import unittest

from support import BAD_INPUT, GOLDEN_MODEL, JobTest, make_tokens, mpirun, read_output, run

OPTIONS = ("--max-new-tokens", 10, "--precision", "fp32", "--template", "plain", "--temperature", 1, "--seed", 3)


class SummarizeMpiTest(JobTest):
    def test_texts_are_the_same_for_any_number_of_ranks(self):
        tokenizer = self.vocabulary()
        # All sections of the one document end on one rank of two: half of the states have to travel.
        lone = self.documents([make_tokens(1000)], "lone.jsonl")
        many = self.documents([make_tokens(20 + 30 * i, seed=i) for i in range(12)], "many.jsonl")
        for source, mode in ((lone, "sections"), (many, "hierarchical"), (many, "final")):
            options = ("--tokenizer", tokenizer, "--mode", mode, "--section-tokens", 128, "--block-tokens", 64, *OPTIONS)
            expected = self.job("summarize", source, *options)[1]
            for ranks in (2, 3):
                found = self.job("summarize", source, *options, "--synchronous-sends", launcher=mpirun(ranks))[1]
                self.assert_same(found, expected, f"{mode}, {ranks} ranks")

    def test_passages_are_the_same(self):
        options = ("--tokenizer", self.vocabulary(), "--extractive", 4, "--window", 32, "--block-tokens", 64, "--precision", "fp32")
        many = self.documents([make_tokens(20 + 90 * i, seed=i) for i in range(8)], "many.jsonl")
        expected = self.job("summarize", many, *options)[1]
        self.assert_same(self.job("summarize", many, *options, launcher=mpirun(3))[1], expected)

    def test_answers_are_the_same_and_ranks_share_the_weights(self):
        states, tokenizer = self.folder / "states.h5", self.vocabulary()
        corpus = self.documents([make_tokens(50 + 40 * i, seed=i) for i in range(5)])
        common = ("--model", GOLDEN_MODEL, "--threads", 1)
        run("embed", *common, "--precision", "fp32", "--input", corpus, "--output", states, "--save-states")
        ask = ("ask", *common, "--states", states, "--tokenizer", tokenizer, *OPTIONS, "--question", "Who?", "--question", "Where?")
        alone, three = self.folder / "alone.h5", self.folder / "three.h5"
        self.assertEqual(run(*ask, "--output", alone).code, 0)
        done = run(*ask, "--output", three, launcher=mpirun(3))
        self.assertEqual(done.code, 0, done.err)
        self.assert_same(read_output(three)[1], read_output(alone)[1])
        self.assertIn("shared by 3 ranks on this node", done.err)
        done = run(*ask, "--output", three, "--overwrite", "--weights", "int8", launcher=mpirun(3))
        self.assertEqual(done.code, BAD_INPUT, done.err)
        self.assertEqual(done.err.count("say --weights auto"), 1, done.err)


if __name__ == "__main__":
    unittest.main()
