"""Protects: whatever is killed, the run ends by itself and --resume completes it."""

import os
import signal
import time
import unittest

from resume_support import ResumeTest, count_done
from support import LIMIT, mpirun


class KilledUnderMpiTest(ResumeTest):
    COUNT = 40

    def test_everything_killed(self):
        running = self.start_and_wait_for_the_middle(mpirun(2))
        running.kill_all()
        self.assertLess(count_done(self.output), self.COUNT)
        self.check_resumed(mpirun(3))

    def kill_one_and_resume(self, which):
        running = self.start_and_wait_for_the_middle(mpirun(2))
        killed = time.monotonic()
        os.kill(running.rank(which), signal.SIGKILL)
        code = running.process.wait(timeout=LIMIT)
        running.wait_for_ranks()
        # mpirun itself notices a dead process: this must not wait for a deadline of the program.
        self.assertLess(time.monotonic() - killed, 45)
        self.assertNotEqual(code, 0)
        self.assertIn("signal 9", running.text())
        self.check_resumed(mpirun(2))

    def test_the_first_rank_killed(self):
        self.kill_one_and_resume(0)

    def test_the_second_rank_killed(self):
        self.kill_one_and_resume(1)


if __name__ == "__main__":
    unittest.main()
