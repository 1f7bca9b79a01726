"""Protects: wrong usage ends with exit code 2 and names the option, before anything is written."""

import os
import unittest

from refusal import RefusalTest
from support import BAD_INPUT, GOLDEN_MODEL, run


class BadOptionsTest(RefusalTest):
    def test_unknown_options_and_commands(self):
        self.refuse("--bogus", words=["--bogus", "riverrun embed --help"])
        self.refuse("--bogus=1", command="score", words=["--bogus", "riverrun score --help"])
        self.refuse("--normalise", words=["--normalise"])
        self.refuse("--norm", words=["--norm"])  # no guessing what an abbreviation means
        self.refuse("--pool", "last", command="score", words=["--pool"])
        self.refuse("another", words=["positional"])
        self.refuse(command="embedd", words=["'embedd'", "riverrun --help"])

    def test_hints_name_the_command_alone(self):
        for command in ("merge", "convert", "bench", "inspect", "plan"):
            done = run(command, "--bogus")
            self.assertEqual(done.code, BAD_INPUT)
            self.assertTrue(done.err.endswith(f"; see riverrun {command} --help\n"), done.err)

    def test_values(self):
        for options, words in (
            (["--pool", "x"], ["--pool 'x'", "mean, last"]),
            (["--dtype", "float8"], ["--dtype 'float8'", "float32, float16"]),
            (["--window", "-1"], ["--window -1"]),
            (["--window", "ten"], ["'ten'", "--window"]),
            (["--window"], ["--window", "missing"]),
            (["--block-tokens", "100"], ["--block-tokens 100", "multiple of 16"]),
            (["--block-tokens", "-64"], ["--block-tokens -64"]),
            (["--ranks", "0"], ["--ranks 0"]),
            (["--ranks", "2", "--transport", "self"], ["--ranks 2", "--transport threads"]),
            (["--threads", "-1"], ["--threads -1"]),
            (["--precision", "int4"], ["int4", "fp32, bf16, fp16"]),
            (["--weights", "int4"], ["--weights 'int4'", "auto, int8"]),
            (["--backend", "cuda"], ["cuda", "--backend cpu"]),
            (["--backend", "tpu"], ["tpu", "cpu"]),
            (["--transport", "nccl", "--backend", "cpu"], ["nccl", "mpi"]),  # not in this build, or not for CPUs
            (["--transport", "foo"], ["foo", "self, threads, mpi, nccl"]),
            (["--share-weights", "maybe"], ["--share-weights 'maybe'", "auto, on, off"]),
            (["--timeout", "0"], ["--timeout 0"]),
            (["--timeout", "nan"], ["--timeout nan"]),
            (["--log-level", "loud"], ["loud", "info"]),
            (["--progress", "fast"], ["fast", "bar, log, none"]),
            (["--start-token", "x"], ["--start-token 'x'"]),
            (["--start-token", "-1"], ["--start-token '-1'"]),
            (["--start-token", "271"], ["start token 271", "271"]),
            (["--end-token", "99999999999"], ["--end-token '99999999999'"]),
            (["--end-token", "300"], ["end token 300", "271"]),
            (["--pool", "mean", "--pool", "last"], ["--pool", "more than once"]),
            (["--config", "/nonexistent.ini"], ["--config /nonexistent.ini", "No such file"]),
            (["--config", "/"], ["--config /", "is a directory"]),
        ):
            self.refuse(*options, words=words)

    def test_missing_options(self):
        for arguments in (
            ["embed"],
            ["score", "--model", GOLDEN_MODEL],
            ["plan"],
            ["inspect"],
            ["plan", "--model", GOLDEN_MODEL],
            ["inspect", GOLDEN_MODEL, GOLDEN_MODEL],
            [],
        ):
            done = run(*arguments)
            self.assertEqual(done.code, BAD_INPUT, arguments)
            self.assertTrue(done.err, arguments)

    def test_bad_configuration_files(self):
        self.refuse("--config", self.write("a.ini", "pool = x\n"), words=["--pool 'x'"])
        self.refuse("--config", self.write("b.ini", "poool = last\n"), words=["b.ini: ", "poool"])
        self.refuse("--config", self.write("c.ini", "what is this\n"), words=["c.ini: ", "what is this"])
        self.refuse("--config", self.write("d.ini", "config = a.ini\n"), words=["d.ini", "another file"])

    def test_plan_checks_its_options(self):
        for options, word in (
            (["--ranks", "0"], "--ranks 0"),
            (["--block-tokens", "100"], "100"),
            (["--job", "x"], "--job 'x'"),
            (["--gflops", "0"], "rates"),
        ):
            done = run("plan", "--model", GOLDEN_MODEL, "--tokens", 1000, *options)
            self.assertEqual(done.code, BAD_INPUT, done.err)
            self.assertIn(word, done.err)


class BadPathsTest(RefusalTest):
    def test_outputs(self):
        missing = self.folder / "missing" / "out.h5"
        self.refuse(output=missing, words=["--output", missing, "does not exist"])
        self.refuse(output=self.folder, words=[self.folder, "is a directory"])
        self.refuse(output=self.good, words=[self.good])
        self.assertTrue(self.good.exists())

    def test_an_output_never_replaces_what_the_job_reads(self):
        before = self.good.read_bytes()
        for option, how in (("--output", {"output": self.good}), ("--trace", {})):
            more = ["--overwrite"] if how else ["--trace", self.good]
            self.refuse(*more, **how, words=[option, self.good, "reads"])
            self.assertEqual(self.good.read_bytes(), before)
        link = self.folder / "link.h5"
        link.symlink_to(self.good)
        self.refuse("--overwrite", output=link, words=["--output", self.good, "reads"])
        self.assertEqual(self.good.read_bytes(), before)

    def test_an_output_among_the_documents(self):
        corpus = self.folder / "corpus"
        (corpus / "deeper").mkdir(parents=True)
        (corpus / "a.jsonl").write_text('{"tokens": [1]}\n')
        for output in (corpus / "out.h5", corpus / "deeper" / "out.h5"):
            self.refuse(source=corpus, output=output, words=[output, corpus, "another place"])
            self.assertFalse(output.exists())

    def test_a_trace_that_cannot_be_written(self):
        self.refuse(
            "--trace", self.folder / "missing" / "trace.json", words=["--trace", "missing", "does not exist"]
        )
        self.refuse("--trace", self.folder, words=["--trace", self.folder, "is a directory"])

    @unittest.skipIf(os.geteuid() == 0, "root may write into any directory")
    def test_a_directory_without_write_permission(self):
        locked = self.folder / "locked"
        locked.mkdir(mode=0o500)
        output = locked / "out.h5"
        self.refuse(output=output, words=[output, "Permission denied"])

    def test_a_place_where_no_file_can_be_made(self):
        # /proc takes no new files from anybody, root included.
        self.refuse(output="/proc/out.h5", words=["/proc/out.h5"])


if __name__ == "__main__":
    unittest.main()
