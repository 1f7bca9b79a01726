"""Runs that are killed in the middle: a corpus that takes seconds, and signals to the processes of a run."""

import os
import pathlib
import signal
import subprocess
import time

import h5py

from support import GOLDEN_MODEL, PROGRAM, LIMIT, JobTest, make_tokens, read_output, run

OPTIONS = ("--window", 100, "--save-states", "--block-tokens", 64, "--threads", 1, "--progress", "log")


def children_of(parent):
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def end_by_id(process):
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Running:
    """A run in the background; `ranks` are the processes of the program itself."""

    def __init__(self, arguments, launcher, log):
        self.launched = bool(launcher)
        self.log = log
        with open(log, "wb") as out:
            command = [str(part) for part in (*launcher, PROGRAM, *arguments)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    @property
    def ranks(self):
        return children_of(self.process.pid) if self.launched else [self.process.pid]

    def text(self):
        return self.log.read_text(errors="replace")

    def kill_all(self):
        for process in [*self.ranks, self.process.pid]:
            end_by_id(process)
        self.process.wait()

    def kill_one_rank(self, which):
        end_by_id(sorted(self.ranks)[which])


def count_done(output):
    """Documents marked done, or 0 while there is no file yet."""
    if not output.exists():
        return 0
    with h5py.File(output, "r") as file:
        return int((file["documents/status"][:] == 1).sum())


class ResumeTest(JobTest):
    COUNT = 60

    def setUp(self):
        super().setUp()
        # Long ones are cut and travel between ranks; all differ, so that no row passes for another.
        self.tokens = 600
        self.output = self.folder / "killed.h5"

    def arguments(self, *more, output=None, source=None, model=GOLDEN_MODEL):
        return (
            "embed",
            "--model",
            model,
            "--input",
            source or self.source,
            "--output",
            output or self.output,
            *OPTIONS,
            *more,
        )

    def start_and_wait_for_the_middle(self, launcher, *more):
        """A run with documents done, but half of them still to do, so that a signal finds it at work. The corpus grows
        until a run lasts long enough."""
        while True:
            self.source = self.documents(
                [make_tokens(self.tokens + 13 * i, seed=i) for i in range(self.COUNT)]
            )
            running = Running(self.arguments("--overwrite", *more), launcher, self.folder / "log.txt")
            self.addCleanup(running.kill_all)
            deadline = time.monotonic() + LIMIT
            while running.process.poll() is None and time.monotonic() < deadline:
                if 0 < count_done(self.output) <= self.COUNT // 2:
                    return running
                time.sleep(0.02)
            self.assertEqual(running.process.poll(), 0, running.text())
            self.tokens *= 2

    def check_resumed(self, launcher, *more):
        """Resumes, and compares with a run that nobody disturbed; returns what the resumed run logged."""
        undisturbed = self.folder / "undisturbed.h5"
        done = run(*self.arguments(output=undisturbed))
        self.assertEqual(done.code, 0, done.err)
        before = count_done(self.output)
        resumed = run(*self.arguments("--resume", *more), launcher=launcher)
        self.assertEqual(resumed.code, 0, resumed.err)
        self.assertIn(f" {self.COUNT - before} documents, ", resumed.err)
        self.assert_same_file(undisturbed)
        self.assert_no_scratch()

    def assert_same_file(self, expected):

        attributes, arrays = read_output(self.output)
        wanted_attributes, wanted = read_output(expected)
        self.assertEqual(attributes["complete"], 1)
        self.assert_same(arrays, wanted)
        for name in ("command", "created"):
            attributes.pop(name), wanted_attributes.pop(name)
        self.assertEqual(attributes, wanted_attributes)
