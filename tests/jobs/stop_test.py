"""Protects: a signal stops a job in good order, and what goes wrong around an output is said."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import unittest

from resume_support import Running, count_done
from stop_support import ATTEMPTS, StopTest
from support import BAD_INPUT, LIMIT, PROGRAM, read_output, run


class SignalTest(StopTest):
    def test_each_signal_and_any_number_of_ranks(self):
        for number, more in ((signal.SIGUSR1, ()), (signal.SIGTERM, ("--transport", "threads", "--ranks", 3))):
            said = self.stop((), *more, number=number)
            self.assertIn(signal.Signals(number).name[3:], said)
        # Stopped once more, elsewhere, and completed.
        said = self.stop((), "--resume", number=signal.SIGINT)
        self.assertIn("on from checkpoints", said)
        self.check_resumed((), "--transport", "threads", "--ranks", 2)

    def test_a_signal_while_the_input_is_silent(self):
        never_written = self.folder / "never-written.jsonl"
        os.mkfifo(never_written)
        for source in "-", never_written:
            with self.subTest(source=source):
                self.check_silent(source)

    def check_silent(self, source):
        command = [PROGRAM, *map(str, self.arguments())]
        command[command.index(str(self.source))] = str(source)
        log = open(self.folder / "log.txt", "w+b")
        self.addCleanup(log.close)
        running = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log)
        self.addCleanup(running.kill)
        self.addCleanup(running.stdin.close)
        locked = lambda: any(path.name.endswith(".lock") for path in self.output.parent.iterdir())
        self.assertTrue(self.await_that(locked, running, "the lock"))
        status = pathlib.Path(f"/proc/{running.pid}/status")
        caught = lambda: int(re.search(r"^SigCgt:\s*(\w+)$", status.read_text(), re.M)[1], 16) >> (signal.SIGTERM - 1) & 1
        self.assertTrue(self.await_that(caught, running, "the signal to be caught"))
        time.sleep(0.5)  # it reads, and waits for more
        running.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(timeout=LIMIT), 75)
        # At once, or in good order.
        self.assertEqual([path.name for path in self.output.parent.iterdir() if not path.name.endswith(".lock")], [])


class CheckpointTest(StopTest):
    def flip(self, name):
        path = self.checkpoints / name
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)

    def test_damaged_checkpoints_are_named_and_not_used(self):
        self.stop(())
        newest = max(("0.0", "0.1"), key=lambda name: (self.checkpoints / name).stat().st_mtime_ns)
        self.flip(newest)
        for name in ("2.0", "2.1"):
            if (self.checkpoints / name).exists():
                self.flip(name)
        said = self.check_resumed(())
        self.assertIn(f"stopped.h5.checkpoint/{newest}: is damaged", said)
        self.assertIn("1 document goes on from checkpoints", said)

    def test_a_new_output_knows_nothing_of_an_old_one(self):
        self.stop(())
        kept = self.folder / "kept"
        shutil.copytree(self.checkpoints, kept)
        time.sleep(1)  # outputs are told apart by the second of their creation
        self.assertNotIn("on from checkpoints", self.stop(()))
        # Those of the old one, put back, are of another run.
        shutil.rmtree(self.checkpoints)
        shutil.copytree(kept, self.checkpoints)
        self.assertIn("is of another run (created differs)", self.check_resumed((), inside=False))

    def test_an_old_output_that_could_not_be_replaced_can_still_be_resumed(self):
        self.stop(())
        in_the_way = self.output.parent / "stopped.h5.creating"
        in_the_way.mkdir()
        done = run(*self.arguments("--overwrite"))
        self.assertEqual(done.code, BAD_INPUT, done.err)
        in_the_way.rmdir()
        self.check_resumed(())

    def test_none_when_not_wanted(self):
        for _ in range(ATTEMPTS):
            running = Running(self.arguments("--checkpoint-seconds", 0, "--overwrite"), (), self.folder / "log.txt")
            self.addCleanup(running.kill_all)
            self.await_that(lambda: count_done(self.output) > 0, running.process, "the first document")
            time.sleep(0.5)
            self.assertFalse(self.checkpoints.exists())
            running.kill_all()
            if running.process.returncode != 0:
                break
            self.lengthen(())
        self.assertEqual(running.process.returncode, -signal.SIGKILL, running.text())
        self.assertFalse(self.checkpoints.exists())
        self.check_resumed((), "--checkpoint-seconds", 0, inside=False)


class OutputTest(StopTest):
    def test_a_second_job_is_refused_and_told_who_runs(self):
        running = self.start(())
        running.process.send_signal(signal.SIGSTOP)  # it keeps its lock, and does not end meanwhile
        for more in ("--resume", "--overwrite"):
            second = run(*self.arguments(more))
            self.assertEqual(second.code, BAD_INPUT, second.err)
            self.assertIn(f"process {running.process.pid}", second.err)
        running.process.send_signal(signal.SIGUSR1)
        running.process.send_signal(signal.SIGCONT)
        self.assertEqual(running.process.wait(timeout=LIMIT), 75, running.text())
        self.check_resumed(())

    def test_a_killed_job_is_in_nobodys_way(self):
        running = self.start(())
        running.kill_all()
        self.assertTrue((self.output.parent / "stopped.h5.lock").exists())
        self.check_resumed(())

    def test_an_output_whose_folder_goes_away_is_an_error(self):
        running = self.start((), "--transport", "threads", "--ranks", 2)
        self.output.parent.rename(self.folder / "gone")
        self.assertEqual(running.process.wait(timeout=LIMIT), 1, running.text())
        self.assertIn(str(self.output), running.text())

    def mount(self, options):
        place = self.folder / "mounted"
        place.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("cannot mount a file system here: " + mounted.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", place], check=True)
        return place

    def test_a_full_disk_is_an_error_at_the_start(self):
        self.output = self.mount("size=160k") / "full.h5"
        done = run(*self.arguments())
        self.assertEqual(done.code, 1, done.err)
        self.assertRegex(done.err, r"full.h5.creating: .*(reserve|write)")
        self.assertEqual(list(self.output.parent.iterdir()), [])

    def test_a_disk_too_full_for_checkpoints_costs_only_them(self):
        undisturbed = self.folder / "undisturbed.h5"
        done = run(*self.arguments(output=undisturbed))
        self.assertEqual(done.code, 0, done.err)
        # Room for the output, the token ids and a part of a checkpoint.
        room = undisturbed.stat().st_size // 1024 + 4 * sum(self.lengths) // 1024 + 40
        self.output = self.mount(f"size={room}k") / "stopped.h5"
        done = run(*self.arguments("--checkpoint-seconds", 0.05, "--transport", "threads", "--ranks", 2))
        self.assertEqual(done.code, 0, done.err)
        self.assertRegex(done.err, r"no checkpoint of document .*: No space left on device")
        self.assert_same(read_output(self.output)[1], read_output(undisturbed)[1])
        self.assertEqual(list(self.output.parent.iterdir()), [self.output])

    def test_a_folder_that_cannot_be_written(self):
        place = self.mount("size=1m")
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        done = run(*self.arguments(output=place / "out.h5"))
        self.assertEqual(done.code, BAD_INPUT, done.err)
        self.assertIn("Read-only file system", done.err)
        self.assertIn(str(place / "out.h5"), done.err)


if __name__ == "__main__":
    unittest.main()
