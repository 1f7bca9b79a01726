"""Runs that are killed in the middle: a corpus that takes seconds, and signals to the processes of a run."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import h5py

from support import GOLDEN_MODEL, PROGRAM, LIMIT, JobTest, make_tokens, ranks_of, read_output, run, write_jsonl

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


def processes_with(word, program=None):
    """Those that have it as a word of their command line, which begins with the program if one is given. What has ended has none."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if os.fsencode(word) in words and program in (None, os.fsdecode(words[0])):
                found.append(int(folder.name))
        except OSError:
            continue  # gone already
    return found


class Running:
    """A run in the background; `ranks` are the processes of the program itself."""

    def __init__(self, arguments, launcher, log):
        self.launched = bool(launcher)
        self.log = log
        self.output = str(arguments[arguments.index("--output") + 1])
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
        self.wait_for_ranks()

    def wait_for_ranks(self):
        """Until none is left: they may outlive their launcher for a moment, one that was just being started for as long as
        the --timeout of the program. Until then they hold the lock of the output."""
        deadline = time.monotonic() + 90
        while left := processes_with(self.output):
            if time.monotonic() > deadline:
                raise RuntimeError(f"ranks are left behind: {left}")
            time.sleep(0.02)

    def rank(self, which):
        """The process of this rank, under mpirun."""
        return ranks_of(self.process)[which]


def count_done(output):
    """Documents marked done, or 0 while there is no file yet."""
    if not output.exists():
        return 0
    with h5py.File(output, "r") as file:
        return int((file["documents/status"][:] == 1).sum())


class ResumeTest(JobTest):
    """A corpus for the tests of a class, and the output of a run over it that nobody disturbed."""

    COUNT = 60
    SECONDS = 1.5  # that such a run needs, so that a signal in the middle finds it at work

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.place = pathlib.Path(tempfile.mkdtemp(prefix="riverrun-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.place, ignore_errors=True)
        cls.source, cls.undisturbed = cls.place / "corpus.jsonl", cls.place / "undisturbed.h5"
        cls.tokens = 300  # of the shortest document
        cls.lengthen()

    @classmethod
    def lengthen(cls):
        while True:
            cls.tokens *= 2
            # Long ones are cut and travel between ranks; all differ, so that no row passes for another.
            write_jsonl(cls.source, [(f"d{i}", make_tokens(cls.tokens + 13 * i, seed=i)) for i in range(cls.COUNT)])
            done = run(*cls.arguments_for(cls.undisturbed, "--overwrite"))
            if done.code != 0:
                raise RuntimeError(done.err)
            if done.seconds >= cls.SECONDS:
                return

    @classmethod
    def arguments_for(cls, output, *more):
        return ("embed", "--model", GOLDEN_MODEL, "--input", cls.source, "--output", output, *OPTIONS, *more)

    def setUp(self):
        super().setUp()
        self.output = self.folder / "killed.h5"

    def arguments(self, *more):
        return self.arguments_for(self.output, *more)

    def start_and_wait_for_the_middle(self, launcher):
        """A run with documents done, but half of them still to do."""
        for _ in range(6):
            running = Running(self.arguments("--overwrite"), launcher, self.folder / "log.txt")
            self.addCleanup(running.kill_all)
            deadline = time.monotonic() + LIMIT
            while running.process.poll() is None and time.monotonic() < deadline:
                if 0 < count_done(self.output) <= self.COUNT // 2:
                    return running
                time.sleep(0.02)
            self.assertEqual(running.process.poll(), 0, running.text())
            self.lengthen()
        self.fail(f"no run over documents of {self.tokens} tokens and more was caught in the middle")

    def check_resumed(self, launcher, *more):
        """Resumes, and compares with the run that nobody disturbed."""
        before = count_done(self.output)
        resumed = run(*self.arguments("--resume", *more), launcher=launcher)
        self.assertEqual(resumed.code, 0, resumed.err)
        self.assertIn(f" {self.COUNT - before} documents, ", resumed.err)
        self.assert_same_file(self.undisturbed)
        self.assert_no_scratch()

    def assert_same_file(self, expected):
        attributes, arrays = read_output(self.output)
        wanted_attributes, wanted = read_output(expected)
        self.assertEqual(attributes["complete"], 1)
        self.assert_same(arrays, wanted)
        for name in ("command", "created"):
            attributes.pop(name), wanted_attributes.pop(name)
        self.assertEqual(attributes, wanted_attributes)
