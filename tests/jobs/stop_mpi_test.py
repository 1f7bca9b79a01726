"""Protects: under mpirun, USR1 stops all ranks in good order, and a killed job goes on inside its documents."""

import unittest

from stop_support import StopTest
from support import mpirun


class StopUnderMpiTest(StopTest):
    def test_usr1_to_mpirun(self):
        self.stop(mpirun(3))
        self.check_resumed(mpirun(2))

    def test_one_rank_that_sees_a_signal_tells_the_others(self):
        self.stop(mpirun(3), whom=lambda running: running.rank(1))
        self.check_resumed(())

    def test_what_is_killed_inside_a_document_goes_on_there(self):
        self.start(mpirun(2)).kill_all()
        self.check_resumed(mpirun(3))


if __name__ == "__main__":
    unittest.main()
