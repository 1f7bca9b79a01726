"""Protects: under mpirun, USR1 stops all ranks in good order, and a rank that stands still ends the job with one message."""

import os
import signal
import time
import unittest

from stop_support import StopTest
from support import mpirun


class StopUnderMpiTest(StopTest):
    def test_usr1_to_mpirun(self):
        self.stop(self.start(mpirun(3)))
        self.check_resumed(mpirun(2))

    def test_one_rank_that_sees_a_signal_tells_the_others(self):
        running = self.start(mpirun(3))
        begin = time.monotonic()
        os.kill(sorted(running.ranks)[1], signal.SIGUSR1)
        self.assertEqual(running.process.wait(timeout=60), 75, running.text())
        self.assertLess(time.monotonic() - begin, 10)
        self.check_resumed(())

    def test_a_rank_that_stands_still_is_named(self):
        running = self.start(mpirun(2), "--timeout", 3)
        os.kill(sorted(running.ranks)[1], signal.SIGSTOP)
        self.assertEqual(running.process.wait(timeout=60), 1, running.text())
        said = running.text()
        self.assertEqual(said.count(" error "), 1, said)
        for word in ("rank 1 has been silent", "document", "layer", "--timeout"):
            self.assertIn(word, said)
        self.check_resumed(mpirun(3))


if __name__ == "__main__":
    unittest.main()
