"""Runs over long documents that are stopped in the middle by a signal."""

import signal
import time

from resume_support import Running
from support import GOLDEN_MODEL, LIMIT, JobTest, make_tokens, read_output, run

OPTIONS = ("--window", 100, "--block-tokens", 64, "--threads", 1, "--precision", "fp32", "--progress", "none")
LENGTHS = [16000, 30, 12000, 700]  # a run takes seconds


class StopTest(JobTest):
    def setUp(self):
        super().setUp()
        self.source = self.documents([make_tokens(n, seed=i) for i, n in enumerate(LENGTHS)])
        (self.folder / "out").mkdir()
        self.output = self.folder / "out" / "stopped.h5"
        self.checkpoints = self.folder / "out" / "stopped.h5.checkpoint"

    def arguments(self, *more, output=None):
        return ("embed", "--model", GOLDEN_MODEL, "--input", self.source, "--output", output or self.output, *OPTIONS, *more)

    def start(self, launcher, *more):
        """A run that has both generations of the first document's checkpoint."""
        begun = time.time()
        running = Running(self.arguments("--checkpoint-seconds", 0.05, *more), launcher, self.folder / "log.txt")
        self.addCleanup(running.kill_all)
        deadline = time.monotonic() + LIMIT
        while not all(self.is_newer(self.checkpoints / name, begun) for name in ("0.0", "0.1")):
            self.assertIsNone(running.process.poll(), running.text())
            self.assertLess(time.monotonic(), deadline, running.text())
            time.sleep(0.01)
        return running

    @staticmethod
    def is_newer(path, moment):
        try:
            return path.stat().st_mtime >= moment
        except FileNotFoundError:
            return False

    def stop(self, running, number=signal.SIGUSR1):
        begin = time.monotonic()
        running.process.send_signal(number)
        code = running.process.wait(timeout=60)
        self.assertEqual(code, 75, running.text())
        self.assertLess(time.monotonic() - begin, 10)
        self.assertEqual(running.text().count("--resume"), 1, running.text())

    def check_resumed(self, launcher, *more, inside=True):
        """Resumes, and compares with an undisturbed run; returns what the resumed run logged."""
        resumed = run(*self.arguments("--resume", *more), launcher=launcher)
        self.assertEqual(resumed.code, 0, resumed.err)
        self.assertEqual("go on from checkpoints" in resumed.err, inside, resumed.err)
        undisturbed = self.folder / "undisturbed.h5"
        done = run(*self.arguments(output=undisturbed))
        self.assertEqual(done.code, 0, done.err)
        attributes, arrays = read_output(self.output)
        self.assertEqual(attributes["complete"], 1)
        self.assert_same(arrays, read_output(undisturbed)[1])
        self.assertEqual([path.name for path in self.output.parent.iterdir()], [self.output.name])
        return resumed.err
