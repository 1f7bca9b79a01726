"""Protects: --trace under mpirun is one timeline of all processes."""

import unittest

from support import JobTest, mpirun


class TraceUnderMpiTest(JobTest):
    def test_events_of_every_process(self):
        self.check_trace(3, launcher=mpirun(3))


if __name__ == "__main__":
    unittest.main()
