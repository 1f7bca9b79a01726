"""Protects: ranks on one node hold one copy of the weights between them, compute the same bytes as with copies of their
own, end together when one of them cannot go on, and leave nothing behind."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from support import GOLDEN_MODEL, PROGRAM, JobTest, make_model, make_tokens, mpirun, ranks_of, read_output, run, write_jsonl

NAME = "riverrun-weights"
LIMIT = 180  # seconds in which a run has to get where it is awaited
PROMPTLY = 60  # seconds that ranks may need to end after one of them has failed, on a machine with much else to do


# Runs a command in which the system refuses memfd_create (seccomp), as the rules of a container may.
REFUSED = """
import ctypes, errno, os, platform, struct, sys
number = {"x86_64": 319, "aarch64": 279}[platform.machine()]
program = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 0x06, 0, 0, 0x50000 | errno.EPERM, 0x06, 0, 0, 0x7FFF0000)
code = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter, 0, 0) == 0, ctypes.get_errno()
os.execvp(sys.argv[1], sys.argv[1:])
"""


def limited(ranks, kilobytes):
    """Ranks whose files, shared memory among them, may not grow beyond that size."""
    shell = f"trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\""
    return [*mpirun(ranks), "bash", "-c", shell, "rank"]


def memory_of(process):
    """(resident, proportional) bytes of the shared weights in a process."""
    sums = {"Rss": 0, "Pss": 0}
    ours = False
    for line in pathlib.Path(f"/proc/{process}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = NAME in line
        elif ours and line.partition(":")[0] in sums:
            sums[line.partition(":")[0]] += 1024 * int(line.split()[1])
    return sums["Rss"], sums["Pss"]


def all_memory_of(process):
    rollup = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
    return 1024 * int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1])


class ShareWeightsTest(JobTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.place = pathlib.Path(tempfile.mkdtemp(prefix="riverrun-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.place, ignore_errors=True)
        cls.model = make_model(cls.place / "large.safetensors", layers=4, channels=1024)
        cls.source = write_jsonl(cls.place / "long.jsonl", [(f"d{i}", make_tokens(20000, seed=i)) for i in range(4)])

    def start(self, ranks, *options):
        """Starts a job that lasts; returns mpirun."""
        command = [*mpirun(ranks), PROGRAM, "embed", "--model", self.model, "--input", self.source]
        command += ["--output", self.folder / "out.h5", "--threads", "1", "--precision", "fp32", *options]
        job = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(job.stderr.close)
        self.addCleanup(job.wait)
        self.addCleanup(job.terminate)
        return job

    def await_line(self, job, words):
        for line in job.stderr:
            if words in line:
                return line
        self.fail(f"the job ended without '{words}'")

    def await_that(self, condition, job):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end and job.poll() is None:
            try:
                found = condition()
            except (OSError, KeyError):
                found = None  # a rank that is not there yet
            if found:
                return found
            time.sleep(0.01)
        self.fail(f"not reached; the job has ended with {job.poll()}")

    def test_one_copy(self):
        ranks = 3
        job = self.start(ranks)
        line = self.await_line(job, "weights: ")
        weights = int(re.search(r"weights: (\d+) MiB, shared by 3 ranks", line)[1]) << 20

        def all_in_use():
            resident = [memory_of(process)[0] for process in ranks_of(job).values()]
            return len(resident) == ranks and min(resident) > 0.9 * weights

        self.await_that(all_in_use, job)
        processes = ranks_of(job).values()
        shared = sum(memory_of(process)[1] for process in processes)
        self.assertLess(abs(shared - weights), 0.05 * weights)
        # Beside the weights (100 or 200 MiB, by their type in memory), a rank has some 60 MiB of its own, most of it activations. Another
        # copy would come on top: half of one is the margin.
        own = ranks * 65 << 20
        self.assertLess(sum(all_memory_of(process) for process in processes), 1.5 * weights + own)

    def test_copies_of_their_own(self):
        job = self.start(2, "--share-weights", "off")
        self.await_line(job, "documents, ")
        self.assertEqual([memory_of(process) for process in ranks_of(job).values()], [(0, 0)] * 2)

    def test_the_same_bytes(self):
        source = self.documents([make_tokens(200, seed=7), make_tokens(33)], "short.jsonl")
        for ranks, weights in ((2, "auto"), (4, "auto"), (2, "int8")):
            expected = self.job("score", source, "--weights", weights)[1]
            for share in ("on", "off"):
                options = ["--weights", weights, "--share-weights", share]
                found = self.job("score", source, *options, launcher=mpirun(ranks))[1]
                self.assert_same(found, expected, f"{ranks} ranks, {' '.join(options)}")

    def test_a_rank_killed_while_the_weights_are_packed(self):
        for victim in (0, 1):  # who packs, and who waits
            job = self.start(3)

            def packing():
                found = ranks_of(job)
                begun = memory_of(found[0])[0] > 0
                return found if begun and len(found) == 3 else None

            found = self.await_that(packing, job)
            os.kill(found[victim], signal.SIGKILL)
            begin = time.monotonic()
            errors = job.communicate(timeout=LIMIT)[1]
            self.assertLess(time.monotonic() - begin, PROMPTLY)
            self.assertEqual(job.returncode, 128 + signal.SIGKILL, errors)
            self.await_ended(found.values())

    def await_ended(self, processes):
        end = time.monotonic() + PROMPTLY
        while any(os.path.exists(f"/proc/{process}") for process in processes):
            self.assertLess(time.monotonic(), end, "a rank is still there")
            time.sleep(0.05)

    def refuse(self, model, launcher, *options, code, words):
        done = run(
            "score", "--model", model, "--input", self.source, "--output", self.folder / "out.h5",
            "--precision", "fp32", *options, launcher=launcher, limit=LIMIT,
        )  # fmt: skip
        errors = [line for line in done.err.splitlines() if " error " in line]
        self.assertEqual((done.code, len(errors)), (code, 1), done.err)
        for word in words:
            self.assertIn(word, errors[0])
        self.assertFalse((self.folder / "out.h5").exists())

    def test_one_message_for_a_model_that_cannot_be_loaded(self):
        headless = make_model(self.folder / "headless.safetensors", headless=True)
        for share in ("auto", "off"):
            self.refuse(headless, mpirun(3), "--share-weights", share, code=2, words=["head.weight"])

    def test_one_message_for_memory_that_is_not_there(self):
        self.refuse(self.model, limited(3, 20000), code=1, words=["no memory for", "of shared weights"])

    def test_memory_that_cannot_be_shared(self):
        refused = [sys.executable, "-c", REFUSED, *mpirun(3)]
        source = self.documents([make_tokens(200, seed=7)], "short.jsonl")
        arguments = ["score", "--model", GOLDEN_MODEL, "--input", source, "--output"]
        done = run(*arguments, self.folder / "copies.h5", launcher=refused, limit=LIMIT)
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(done.err.count("cannot share weights"), 1, done.err)
        self.assertIn("memfd_create", done.err)
        self.assert_same(read_output(self.folder / "copies.h5")[1], self.job("score", source)[1])
        self.refuse(
            GOLDEN_MODEL, refused, "--share-weights", "on", code=1,
            words=["cannot share weights", "--share-weights auto or off"],
        )  # fmt: skip

    def test_ranks_of_different_models_do_not_share(self):
        other = make_model(self.folder / "other.safetensors", layers=3)
        self.source = self.documents([make_tokens(5)])
        part = [PROGRAM, "score", "--input", self.source, "--output", self.folder / "out.h5", "--model"]
        first = make_model(self.folder / "first.safetensors", layers=4)
        done = run(first, ":", "-n", "1", *part, other, launcher=[*mpirun(1), *part[:-1]], program="--model", limit=LIMIT)
        self.assertEqual(done.code, 2, done.err)
        self.assertIn("rank 1: this rank was started with another model than rank 0", done.err)

    def test_ranks_that_have_read_other_bytes_do_not_compute(self):
        # Two files of the same shape stand for one that a node has read wrongly.
        self.source = self.documents([make_tokens(5)])
        part = [PROGRAM, "score", "--input", self.source, "--output", self.folder / "out.h5", "--share-weights", "off", "--model"]
        first, other = (make_model(self.folder / f"{seed}.safetensors", layers=4, seed=seed) for seed in (1, 2))
        done = run(first, ":", "-n", "1", *part, other, launcher=[*mpirun(1), *part[:-1]], program="--model", limit=LIMIT)
        self.assertEqual(done.code, 2, done.err)
        self.assertIn("rank 1: has read other weights than rank 0", done.err)
        self.assertFalse((self.folder / "out.h5").exists())

    def tearDown(self):
        self.assertEqual([name for name in os.listdir("/dev/shm") if NAME in name], [])
        super().tearDown()


if __name__ == "__main__":
    unittest.main()
