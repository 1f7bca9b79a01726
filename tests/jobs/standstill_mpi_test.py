"""Protects: a rank that stands still ends the job with one message that names it, and --resume completes the job.

Nearly all of its time goes into waiting for the deadline, which is long enough for a rank that lives but gets no core.
"""

import os
import signal
import unittest

from stop_support import StopTest
from support import LIMIT, mpirun


class StandstillTest(StopTest):
    def stand_still(self, which):
        running = self.start(mpirun(2), "--timeout", 20)
        os.kill(running.rank(which), signal.SIGSTOP)
        self.assertEqual(running.process.wait(timeout=LIMIT), 1, running.text())
        running.wait_for_ranks()
        said = running.text()
        self.assertEqual(said.count(" error "), 1, said)
        for word in (f"rank {which} has been silent", "document", "--timeout"):
            self.assertIn(word, said)
        # What the other rank waits for is for the moment to say at which this one was stopped.
        self.assertRegex(said, rf"layer \d|the running sums|rank {which} to take the carry")
        self.check_resumed(mpirun(3))

    def test_the_first_rank(self):
        self.stand_still(0)

    def test_the_second_rank(self):
        self.stand_still(1)


if __name__ == "__main__":
    unittest.main()
