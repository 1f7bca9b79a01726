"""Protects: the same bytes for all numbers of ranks and threads, block sizes and places in a corpus.

Ranks are threads here; identity_mpi_test.py has them as processes.
"""

import unittest

import numpy

from identity import EMBED, SCORE, IdentityTest
from support import document_rows


def ranks(number, block_tokens, threads=1):
    return (
        "--transport",
        "threads",
        "--ranks",
        number,
        "--block-tokens",
        block_tokens,
        "--threads",
        threads,
    ), ()


class IdentityAcrossRanksTest(IdentityTest):
    def test_embed(self):
        for precision in ("fp32", "bf16"):
            self.check(
                EMBED,
                precision,
                {
                    "self, blocks of 64": (("--block-tokens", 64), ()),
                    "self, blocks of 128, 2 threads": (("--block-tokens", 128, "--threads", 2), ()),
                    "self, chosen blocks": ((), ()),
                    "1 thread rank": ranks(1, 128),
                    "2 ranks": ranks(2, 64),
                    "3 ranks": ranks(3, 128, threads=2),
                    "8 ranks": ranks(8, 64),
                },
            )

    def test_score(self):
        for precision in ("fp32", "bf16"):
            self.check(
                SCORE,
                precision,
                {
                    "self, blocks of 64, 2 threads": (("--block-tokens", 64, "--threads", 2), ()),
                    "2 ranks": ranks(2, 128),
                    "5 ranks": ranks(5, 64),
                    "7 ranks": ranks(7, 512),
                },
            )

    def test_start_and_end_tokens_do_not_disturb_it(self):
        for command in (EMBED, SCORE):
            kind = (*command, "--start-token", "0", "--end-token", "7")
            self.check(kind, "fp32", {"2 ranks, blocks of 64": ranks(2, 64), "3 ranks": ranks(3, 128)})


class IdentityAcrossCorporaTest(IdentityTest):
    def check_places(self, kind, precision):
        whole = self.run_as(kind, "--precision", precision, "--block-tokens", 128)
        count = len(self.contents)
        for document in (4, count - 1):
            expected = document_rows(whole, document)
            others = [self.contents[i] for i in range(count) if i != document]
            mine = self.contents[document]
            for place, contents in ((0, [mine]), (0, [mine, *others]), (count - 1, [*others, mine])):
                source = self.documents(contents, "other.jsonl")
                arrays = self.run_as(kind, "--precision", precision, "--block-tokens", 128, source=source)
                rows = document_rows(arrays, place)
                rows.pop("documents/id")
                for name, found in rows.items():
                    self.assertTrue(
                        found == expected[name] and found,
                        f"{kind[0]} {precision}: {name} of document {document} at {place} of {len(contents)}",
                    )

    def test_alone_first_and_last(self):
        self.check_places(EMBED, "bf16")
        self.check_places(SCORE, "fp32")

    def test_other_tokens_give_other_results(self):
        # Guards the comparisons above: the last token alone changes everything that can depend on it.
        changed = [content[:-1] + [content[-1] % 200 + 1] for content in self.contents]
        before = self.run_as(EMBED)
        after = self.run_as(EMBED, source=self.documents(changed, "changed.jsonl"))
        for document in range(len(self.contents)):
            self.assertTrue(numpy.any(before["embeddings"][document] != after["embeddings"][document]))
            self.assertTrue(numpy.any(before["states/wkv"][document] != after["states/wkv"][document]))


if __name__ == "__main__":
    unittest.main()
