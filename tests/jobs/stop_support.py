"""Runs over long documents that are stopped in the middle by a signal."""

import os
import signal
import struct
import time

from resume_support import Running
from support import GOLDEN_MODEL, LIMIT, JobTest, make_tokens, read_output, run

OPTIONS = ("--window", 100, "--block-tokens", 64, "--threads", 1, "--precision", "fp32", "--progress", "none")
LENGTHS = [16000, 30, 12000, 700]  # a run takes seconds
ATTEMPTS = 6  # with a first document that is twice as long each time
NEXT_TOKEN = 32  # where a checkpoint says from which token on its document is still to do


class StopTest(JobTest):
    def setUp(self):
        super().setUp()
        self.lengths = list(LENGTHS)
        self.write_source()
        (self.folder / "out").mkdir()
        self.output = self.folder / "out" / "stopped.h5"
        self.checkpoints = self.folder / "out" / "stopped.h5.checkpoint"

    def write_source(self):
        self.source = self.documents([make_tokens(n, seed=i) for i, n in enumerate(self.lengths)])

    def lengthen(self, more):
        """For when a run with the options `more` was over too soon."""
        self.lengths[0] *= 2
        self.write_source()
        if "--resume" in more:  # there has to be something to resume
            self.stop(())

    def arguments(self, *more, output=None):
        return ("embed", "--model", GOLDEN_MODEL, "--input", self.source, "--output", output or self.output, *OPTIONS, *more)

    def await_that(self, condition, running, what):
        """Returns what is true of the condition; None when the process `running` ends before."""
        deadline = time.monotonic() + LIMIT
        while running.poll() is None:
            if found := condition():
                return found
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.01)
        return None

    def start(self, launcher, *more):
        """A run that has both generations of the first document's checkpoint, and the greater part of that document before it."""
        anew = () if "--resume" in more else ("--overwrite",)
        for _ in range(ATTEMPTS):
            begun = time.time()
            running = Running(self.arguments("--checkpoint-seconds", 0.05, *anew, *more), launcher, self.folder / "log.txt")
            self.addCleanup(running.kill_all)
            reached = self.await_that(lambda: self.reached(begun), running.process, "two checkpoints of the first document")
            if reached and reached < self.lengths[0] / 2:
                return running
            if not reached:
                self.assertEqual(running.process.poll(), 0, running.text())
            running.kill_all()
            self.lengthen(more)
        self.fail(f"no run was caught in the middle of {self.lengths[0]} tokens")

    def reached(self, begun):
        """The token from which the first document would go on; 0 without two checkpoints that are newer than `begun`."""
        tokens = []
        for name in ("0.0", "0.1"):
            try:
                with open(self.checkpoints / name, "rb") as file:
                    header = file.read(NEXT_TOKEN + 8)
                if (self.checkpoints / name).stat().st_mtime < begun:
                    return 0
            except FileNotFoundError:
                return 0
            tokens.append(*struct.unpack_from("<q", header, NEXT_TOKEN))
        return max(tokens)

    def stop(self, launcher, *more, number=signal.SIGUSR1, whom=lambda running: running.process.pid):
        """Starts a run and stops it in the middle; returns what it logged."""
        for _ in range(ATTEMPTS):
            running = self.start(launcher, *more)
            code = self.send(running, number, whom(running))
            if code != 0:  # else it was over before the signal came
                break
            self.lengthen(more)
        self.assertEqual(code, 75, running.text())
        self.assertEqual(running.text().count("--resume"), 1, running.text())
        return running.text()

    def send(self, running, number, process):
        """Sends a signal, and returns the code with which the run ends."""
        begin = time.monotonic()
        os.kill(process, number)
        code = running.process.wait(timeout=LIMIT)
        if code != 0:
            self.assertLess(time.monotonic() - begin, 30, "it does not stop promptly")
        return code

    def check_resumed(self, launcher, *more, inside=True):
        """Resumes, and compares with an undisturbed run; returns what the resumed run logged."""
        resumed = run(*self.arguments("--resume", *more), launcher=launcher)
        self.assertEqual(resumed.code, 0, resumed.err)
        self.assertEqual("on from checkpoints" in resumed.err, inside, resumed.err)
        undisturbed = self.folder / "undisturbed.h5"
        done = run(*self.arguments(output=undisturbed))
        self.assertEqual(done.code, 0, done.err)
        attributes, arrays = read_output(self.output)
        self.assertEqual(attributes["complete"], 1)
        self.assert_same(arrays, read_output(undisturbed)[1])
        self.assertEqual([path.name for path in self.output.parent.iterdir()], [self.output.name])
        return resumed.err
