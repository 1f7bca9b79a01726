"""Protects: a killed run, resumed, ends with the file of an undisturbed run; --resume refuses other work."""

import shutil
import unittest

from resume_support import ResumeTest
from support import (
    BAD_INPUT,
    GOLDEN_MODEL,
    JobTest,
    make_model,
    make_tokens,
    make_vocabulary,
    read_output,
    run,
)


class KilledTest(ResumeTest):
    def test_killed_and_resumed_twice(self):
        running = self.start_and_wait_for_the_middle(launcher=())
        running.kill_all()
        attributes, arrays = read_output(self.output)
        self.assertEqual(attributes["complete"], 0)
        self.assertTrue(set(arrays["documents/status"].tolist()) <= {0, 1})
        self.check_resumed(())
        self.assert_nothing_left_to_do()

    def test_killed_ranks_that_are_threads(self):
        running = self.start_and_wait_for_the_middle(launcher=())
        running.kill_all()
        # Resumed with more ranks than before: the work is the same.
        self.check_resumed((), "--transport", "threads", "--ranks", 3)

    def assert_nothing_left_to_do(self):
        before = self.output.read_bytes()
        again = run(*self.arguments("--resume"))
        self.assertEqual(again.code, 0, again.err)
        self.assertIn(" 0 documents, 0 tokens", again.err)
        self.assertEqual(self.output.read_bytes(), before)


class LeftBehindTest(JobTest):
    def test_what_killed_runs_have_left_is_removed_and_nothing_else(self):
        output = self.folder / "out.h5"
        left = output.with_name("out.h5.77-0af3.tokens")
        others = [output.with_name(name) for name in ("out.h5.tokens", "out.h5.77-0af3", "out.h5.a7-0af3.tokens", "out.h5x.7-0a.tokens")]
        for path in (left, *others):
            path.write_text("of a run that was killed")
        source = self.documents([make_tokens(5)])
        done = run("score", "--model", GOLDEN_MODEL, "--input", source, "--output", output, "--threads", 1)
        self.assertEqual(done.code, 0, done.err)
        self.assertIn(f"removed {left}, which a killed run had left", done.err)
        self.assertEqual([path.exists() for path in (left, *others)], [False] + [True] * 4)


class RefusedTest(JobTest):
    """Each of these asks to resume other work than the file holds."""

    def setUp(self):
        super().setUp()
        self.contents = [make_tokens(40, seed=i) for i in range(3)]
        self.source = self.documents(self.contents)
        self.output = self.folder / "out.h5"
        done = self.start()
        self.assertEqual(done.code, 0, done.err)
        self.before = self.output.read_bytes()

    def start(self, *more, command="embed", source=None, model=GOLDEN_MODEL, **how):
        return run(
            command,
            "--model",
            model,
            "--input",
            source or self.source,
            "--output",
            self.output,
            "--threads",
            1,
            *more,
            **how
        )

    def assert_refused(self, done, *words):
        self.assertEqual(done.code, BAD_INPUT, done.err)
        for word in (str(self.output), *words):
            self.assertIn(word, done.err)
        self.assertEqual(self.output.read_bytes(), self.before)
        self.assert_no_scratch()

    def test_an_existing_output_is_never_touched_unasked(self):
        self.assert_refused(self.start(), "--resume", "--overwrite")

    def test_another_model(self):
        other = make_model(self.folder / "other.safetensors", seed=9)
        self.assert_refused(self.start("--resume", model=other), "cannot --resume", "model_sha256")

    def test_the_same_model_elsewhere_is_the_same_work(self):
        copy = shutil.copy(GOLDEN_MODEL, self.folder / "copy.pth")
        self.assertEqual(self.start("--resume", model=copy).code, 0)

    def test_another_precision(self):
        attributes, _ = read_output(self.output)
        # What `auto` chose depends on the CPU; the reference backend multiplies every type.
        was, now = attributes["precision"], {"bf16": "fp32", "fp32": "bf16"}[attributes["precision"]]
        self.assert_refused(
            self.start("--resume", "--precision", now, "--backend", "reference"),
            f"precision was {was} and would now be {now}",
        )

    def test_another_backend(self):
        attributes, _ = read_output(self.output)
        self.assert_refused(
            self.start("--resume", "--precision", attributes["precision"], "--backend", "reference"),
            "backend was cpu and would now be reference",
        )

    def test_other_weights(self):
        was = read_output(self.output)[0]["weights"]
        self.assert_refused(self.start("--resume", "--weights", "int8"), f"weights was {was} and would now be int8")

    def test_other_options(self):
        for options, word in (
            (["--pool", "last"], "pool was mean and would now be last"),
            (["--window", "10"], "window was 0 and would now be 10"),
            (["--normalize"], "normalize was 0 and would now be 1"),
            (["--start-token", "0"], "start_token was -1 and would now be 0"),
            (["--end-token", "3"], "end_token was -1 and would now be 3"),
            (["--block-tokens", "64"], "block_tokens was 512 and would now be 64"),
            (["--dtype", "float16"], "/embeddings was float32"),
            (["--save-states"], "/states/wkv"),
        ):
            self.assert_refused(self.start("--resume", *options), word)
        self.assert_refused(self.start("--resume", command="score"), "job was embed and would now be score")

    def test_other_documents(self):
        more = self.documents(self.contents + [[1]], "more.jsonl")
        self.assert_refused(self.start("--resume", source=more), "cannot --resume", "3 documents", "4")
        longer = self.documents(self.contents[:2] + [self.contents[2] + [5]], "longer.jsonl")
        self.assert_refused(self.start("--resume", source=longer), "cannot --resume")
        first = [(self.contents[0][0] + 1) % 271] + self.contents[0][1:]
        changed = self.documents([first] + self.contents[1:], "changed.jsonl")
        self.assert_refused(self.start("--resume", source=changed), "other contents")
        renamed = self.folder / "renamed.jsonl"
        renamed.write_text(self.source.read_text().replace('"d1"', '"e1"'))
        self.assert_refused(self.start("--resume", source=renamed), "document 1", "d1", "e1")
        vocabulary = make_vocabulary(self.folder / "vocabulary.txt")
        self.assert_refused(self.start("--resume", "--tokenizer", vocabulary), "tokenizer was none")

    def test_a_file_that_is_no_output(self):
        self.output.write_bytes(b"my precious notes")
        self.before = self.output.read_bytes()
        self.assert_refused(self.start("--resume"))

    def test_a_cut_output(self):
        self.output.write_bytes(self.before[: len(self.before) // 2])
        self.before = self.output.read_bytes()
        self.assert_refused(self.start("--resume"))

    def test_resume_and_overwrite_exclude_each_other(self):
        done = self.start("--resume", "--overwrite")
        self.assertEqual(done.code, BAD_INPUT)
        self.assertIn("--resume and --overwrite exclude each other", done.err)
        self.assertEqual(self.output.read_bytes(), self.before)


class FreshTest(JobTest):
    def test_resume_of_nothing_starts_anew(self):
        _, arrays = self.job("embed", self.documents([[1, 2, 3]]), "--resume")
        self.assertEqual(arrays["documents/status"].tolist(), [1])

    def test_overwrite_replaces_and_what_crashes_left_behind_does_not_disturb(self):
        source = self.documents([make_tokens(100), [5]])
        _, expected = self.job("embed", source)
        output = self.folder / "out.h5"
        output.write_bytes(b"an older file, of another kind")
        (self.folder / "out.h5.tokens").write_bytes(b"\1\0\0\0" * 999)
        (self.folder / "out.h5.creating").write_bytes(b"half a file")
        done = run("embed", "--model", GOLDEN_MODEL, "--input", source, "--output", output, "--overwrite")
        self.assertEqual(done.code, 0, done.err)
        self.assert_same(read_output(output)[1], expected)
        self.assert_no_scratch(but=["out.h5.tokens"])


if __name__ == "__main__":
    unittest.main()
