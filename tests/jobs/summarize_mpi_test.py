"""Protects: texts are the same bytes under mpirun as in one process, and the states that ranks exchange arrive whole."""

import unittest

from support import JobTest, make_tokens, mpirun

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


if __name__ == "__main__":
    unittest.main()
