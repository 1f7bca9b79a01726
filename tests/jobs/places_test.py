"""Protects: an output is written where it was said and by one run at a time, nothing else is written over, and what cannot be written is
an error that says so."""

import os
import pathlib
import subprocess
import time
import unittest

from refusal import RefusalTest
from support import BAD_INPUT, DONE, GOLDEN_MODEL, PROGRAM, make_model, make_tokens, make_vocabulary, read_output, run, write_jsonl

FAILED = 1


def shell(command, *words):
    """`command` of bash, where "$@" are the program and the words."""
    done = subprocess.run(["bash", "-c", command, "bash", PROGRAM, *map(str, words)], capture_output=True, timeout=120)
    return done.returncode, done.stderr.decode(errors="replace")


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class PlacesTest(RefusalTest):
    def setUp(self):
        super().setUp()
        self.output = self.folder / "out.h5"
        self.source = write_jsonl(self.folder / "in.jsonl", [("a", make_tokens(40)), ("b", make_tokens(90, seed=2))])

    def embed(self, *more, output=None):
        return ["embed", "--model", GOLDEN_MODEL, "--input", self.source, "--output", output or self.output, *more]

    def left(self):
        return sorted(path.name for path in self.folder.iterdir())


class OtherFilesTest(PlacesTest):
    def test_a_trace_takes_the_place_of_nothing_but_a_trace(self):
        for _ in range(2):
            done = run(*self.embed("--trace", self.folder / "trace.json", "--overwrite"))
            self.assertEqual(done.code, DONE, done.err)
        whole = self.output.read_bytes()
        for more in ((), ("--overwrite",)):
            done = run(*self.embed("--trace", self.output, *more))
            self.assertEqual((done.code, "--trace" in done.err), (BAD_INPUT, True), done.err)
        done = run(*self.embed("--trace", self.output, output=self.folder / "other.h5"))
        self.assertEqual((done.code, "is no trace" in done.err), (BAD_INPUT, True), done.err)
        self.assertEqual(self.output.read_bytes(), whole)

    def test_texts_take_the_place_of_no_file_of_the_job(self):
        corpus = self.folder / "corpus"
        corpus.mkdir()
        (corpus / "a").write_text("one")
        (corpus / "a.txt").write_text("two")
        words = ["summarize", "--model", make_model(self.folder / "m.safetensors"), "--max-new-tokens", 2, "--tokenizer", make_vocabulary(self.folder / "vocabulary.txt")]
        done = run(*words, "--input", corpus, "--output", self.output, "--also-text", corpus)
        self.assertEqual((done.code, "--also-text" in done.err), (BAD_INPUT, True), done.err)
        texts = self.folder / "texts"
        texts.mkdir()
        done = run(*words, "--input", corpus, "--output", texts / "a.txt", "--also-text", texts)
        self.assertEqual((done.code, "--also-text" in done.err), (BAD_INPUT, True), done.err)
        self.assertEqual((corpus / "a.txt").read_text(), "two")

    def test_a_link_leads_to_the_output(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        self.output.symlink_to("elsewhere/real.h5")
        for more in ((), ("--overwrite",)):
            done = run(*self.embed(*more))
            self.assertEqual(done.code, DONE, done.err)
            self.assertTrue(self.output.is_symlink())
            self.assertEqual([path.name for path in elsewhere.iterdir()], ["real.h5"])
        done = run(*self.embed())
        self.assertEqual((done.code, str(elsewhere / "real.h5") in done.err), (BAD_INPUT, True), done.err)

    def test_what_is_no_file_is_no_output(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        for words in (self.embed("--overwrite", output=fifo), ["convert", GOLDEN_MODEL, fifo, "--overwrite"],
                      ["merge", "--output", fifo, "--overwrite", self.source]):
            done = run(*words)
            self.assertEqual((done.code, "is not a regular file" in done.err), (BAD_INPUT, True), done.err)
        self.assertTrue(fifo.is_fifo())
        done = run(*self.embed()[:-1], "")
        self.assertEqual((done.code, "--output is empty" in done.err), (BAD_INPUT, True), done.err)
        done = run(*self.embed(output=self.folder / ("long" * 80)))
        self.assertEqual(done.code, BAD_INPUT, done.err)

    def test_two_conversions_to_one_file(self):
        source = make_model(self.folder / "model.safetensors", layers=8, channels=256)
        wanted = set()
        for dtype in ("fp32", "fp16"):
            alone = self.folder / f"{dtype}.safetensors"
            self.assertEqual(run("convert", source, alone, "--dtype", dtype).code, DONE)
            wanted.add(alone.read_bytes())
        out = self.folder / "both.safetensors"
        lock = pathlib.Path(f"{out}.lock")
        for _ in range(4):
            both = []
            for dtype in ("fp32", "fp16"):
                both.append(subprocess.Popen([PROGRAM, "convert", source, out, "--dtype", dtype, "--overwrite"], stderr=subprocess.PIPE))
                while both[0].poll() is None and size_of(lock) == 0:
                    time.sleep(0.001)
            errors = [one.communicate(timeout=120)[1].decode() for one in both]
            codes = [one.returncode for one in both]
            self.assertIn(DONE, codes, errors)
            for code, error in zip(codes, errors):
                self.assertTrue(code == DONE or (code == BAD_INPUT and "is being written by" in error), error)
            self.assertIn(out.read_bytes(), wanted)

    def test_what_runs_in_one_process_is_not_started_in_several(self):
        for words in (["convert", GOLDEN_MODEL, self.folder / "m.safetensors"], ["merge", "--output", self.output, self.source]):
            done = run(*words, environment={"OMPI_COMM_WORLD_SIZE": "2"})
            self.assertEqual((done.code, "runs in one process" in done.err), (BAD_INPUT, True), done.err)

    def test_a_merged_file_is_not_resumed(self):
        shards = []
        for number in (1, 2):
            shards.append(self.folder / f"{number}.h5")
            self.assertEqual(run(*self.embed("--shard", f"{number}/2", output=shards[-1])).code, DONE)
        self.assertEqual(run("merge", "--output", self.output, *shards).code, DONE)
        done = run(*self.embed("--resume"))
        self.assertEqual((done.code, "riverrun merge made it" in done.err), (BAD_INPUT, True), done.err)
        done = run("merge", "--output", self.output, *shards)
        self.assertEqual((done.code, "--resume" in done.err), (BAD_INPUT, False), done.err)


class NoRoomTest(PlacesTest):
    def test_a_limit_of_file_sizes(self):
        before = self.left()
        code, error = shell('ulimit -f 20; "$@"', *self.embed("--save-states"))
        self.assertEqual(code, FAILED, error)
        self.assertIn("ulimit -f", error)
        self.assertEqual(self.left(), before)

    def test_a_disk_with_nearly_no_room(self):
        place = self.folder / "mounted"
        place.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", place], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("cannot mount a file system here: " + mounted.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", place], check=True)
        for kibibytes in (48, 72, 80, 88, 92, 96):
            (place / "fill").write_bytes(bytes(kibibytes << 10))
            done = run(*self.embed("--save-states", output=place / "out.h5"))
            self.assertIn(done.code, (FAILED, BAD_INPUT), done.err)
            self.assertEqual([path.name for path in place.iterdir()], ["fill"], f"{kibibytes} KiB filled: {done.err}")
            (place / "fill").unlink()


class StandardStreamsTest(PlacesTest):
    def test_closed_ones_are_not_taken_by_other_files(self):
        code, error = shell('"$@" <&-', "embed", "--model", GOLDEN_MODEL, "--input", "-", "--tokenizer", make_vocabulary(self.folder / "vocabulary.txt"), "--output", self.output)
        self.assertEqual(code, FAILED, error)
        self.assertIn("standard input", error)
        self.assertFalse(self.output.exists())
        for closed in ("2>&-", "1>&-", "<&- 1>&- 2>&-"):
            code, _ = shell(f'"$@" {closed}', *self.embed("--overwrite"))
            self.assertEqual(code, DONE)
            self.assertEqual(read_output(self.output)[1]["documents/status"].tolist(), [1, 1])
            self.assertFalse(pathlib.Path(f"{self.output}.lock").exists())

    def test_what_cannot_be_printed_is_an_error(self):
        for words in (["inspect", GOLDEN_MODEL], ["plan", "--model", GOLDEN_MODEL, "--tokens", "1000"], ["--help"], ["embed", "--help"]):
            code, error = shell('"$@" >/dev/full', *words)
            self.assertEqual((code, "standard output" in error), (FAILED, True), error)


if __name__ == "__main__":
    unittest.main()
