"""Protects: the same bytes for any number of processes, also when every send waits for its receive."""

import unittest

from identity import EMBED, SCORE, IdentityTest
from support import mpirun


class MpiIdentityTest(IdentityTest):
    def test_embed(self):
        self.check(
            EMBED,
            "bf16",
            {
                "1 process": (("--block-tokens", 64), mpirun(1)),
                "2 processes": (("--block-tokens", 64), mpirun(2)),
                "3 processes": (("--block-tokens", 128), mpirun(3)),
                "4 processes": ((), mpirun(4)),
            },
        )

    def test_score(self):
        self.check(
            SCORE,
            "fp32",
            {
                "2 processes, 2 threads": (("--block-tokens", 512, "--threads", 2), mpirun(2)),
                "4 processes": (("--block-tokens", 64), mpirun(4)),
            },
        )

    def test_blocks_computed_again_on_the_next_rank(self):
        expected = self.run_as(SCORE, "--precision", "fp32")
        for ranks in (1, 3):
            found = self.run_as(SCORE, "--precision", "fp32", "--block-tokens", 64, "--verify", 1000, launcher=mpirun(ranks))
            self.assert_same(found, expected, f"{ranks} processes")
            self.assertRegex(self.log, "verified: [1-9][0-9]* blocks came to the same bytes on " + ("this rank" if ranks == 1 else "another rank"))

    def test_sends_that_wait_for_their_receives(self):
        # Whatever relies on MPI keeping a copy of an unreceived message hangs at the wrap-around of the ring.
        for kind, precision in ((EMBED, "fp32"), (SCORE, "bf16")):
            self.check(
                kind,
                precision,
                {
                    f"{processes} processes": (
                        ("--block-tokens", 64, "--synchronous-sends"),
                        mpirun(processes),
                    )
                    for processes in (2, 3)
                },
            )

    def test_only_the_first_process_reads_standard_input(self):
        expected = self.run_as(SCORE)
        found = self.run_as(SCORE, source="-.jsonl", launcher=mpirun(2), stdin=self.corpus.read_bytes())
        self.assert_same(found, expected)


if __name__ == "__main__":
    unittest.main()
