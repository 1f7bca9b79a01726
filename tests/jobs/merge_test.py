"""Protects: shards of a corpus, merged, are the file of one run over all of it; merge refuses what does not belong together."""

import fcntl
import gzip
import shutil
import time
import unittest

import h5py
import numpy

from resume_support import Running, count_done
from support import BAD_INPUT, DONE, GOLDEN_MODEL, LIMIT, SOME_FAILED, JobTest, make_text, make_tokens, read_output, run

LENGTHS = [1, 70, 64, 65, 300, 128, 17, 700]
WRITING = ("--max-new-tokens", 8, "--precision", "fp32", "--template", "plain", "--mode")
# An option that `auto` would choose by the longest document, which no shard knows.
BLOCK = ("--block-tokens", 64)
JOBS = {
    "embed": ("embed", "--window", 50, "--save-states"),
    "score": ("score",),
    "sections": ("summarize", *WRITING, "sections", "--section-tokens", 64),
    "hierarchical": ("summarize", *WRITING, "hierarchical", "--section-tokens", 64, "--save-states"),
    "extractive": ("summarize", "--extractive", 2, "--window", 16, "--precision", "fp32"),
}


def without_shards(arrays):
    return {name: array for name, array in arrays.items() if not name.startswith("shards/")}


class MergeTest(JobTest):
    def setUp(self):
        super().setUp()
        self.corpus = self.documents([make_tokens(count, seed=count) for count in LENGTHS])
        self.merged = self.folder / "merged.h5"

    def make_shards(self, count, job, *options, source=None, expect=DONE):
        """The outputs of all shards, as a job array writes them."""
        paths = []
        for number in range(1, count + 1):
            self.job(*job[:1], source or self.corpus, *job[1:], *BLOCK, *options, "--shard", f"{number}/{count}", expect=expect)
            paths.append(self.folder / f"output{self.outputs}.h5")
        return paths

    def merge(self, *files, expect=DONE):
        done = run("merge", "--output", self.merged, *files)
        self.assertEqual(done.code, expect, done.err)
        self.assert_no_scratch()
        return read_output(self.merged)

    def refuse(self, *files, words=()):
        before = self.merged.read_bytes() if self.merged.exists() else None
        done = run("merge", "--output", self.merged, *files)
        self.assertEqual(done.code, BAD_INPUT, done.err)
        for word in words:
            self.assertIn(str(word), done.err)
        self.assertEqual(self.merged.read_bytes() if self.merged.exists() else None, before)
        self.assert_no_scratch()


class SameAsOneRunTest(MergeTest):
    def test_shards_of_every_job(self):
        for name, job in JOBS.items():
            options = ("--tokenizer", self.vocabulary()) if job[0] == "summarize" else ()
            attributes, expected = self.job(job[0], self.corpus, *job[1:], *BLOCK, *options)
            paths = self.make_shards(3, job, *options)
            # In whatever order they are named.
            merged_attributes, merged = self.merge(paths[2], paths[0], paths[1], "--overwrite")
            self.assert_same(without_shards(merged), expected, name)
            self.assertEqual(merged_attributes.pop("merged_from"), 3)
            for own in ("command", "created"):
                attributes.pop(own), merged_attributes.pop(own)
            attributes.pop("input_crc32c")
            self.assertEqual(merged_attributes, attributes)

    def test_files_without_shards_follow_each_other(self):
        contents = [make_tokens(count, seed=count) for count in LENGTHS]
        whole = self.corpus.read_text().splitlines(keepends=True)
        paths = []
        for part in (whole[:3], whole[3:4], whole[4:]):
            source = self.folder / "part.jsonl"
            source.write_text("".join(part))
            self.job("embed", source, "--window", 50, *BLOCK)
            paths.append(self.folder / f"output{self.outputs}.h5")
        _, expected = self.job("embed", self.documents(contents), "--window", 50, *BLOCK)
        self.assert_same(without_shards(self.merge(*paths)[1]), expected)

    def test_merged_answers_follow_the_documents(self):
        paths = self.make_shards(2, ("embed", "--save-states"))
        _, whole = self.job("embed", self.corpus, "--save-states", *BLOCK)
        kept = self.folder / f"output{self.outputs}.h5"
        ask = ("--question", "Who?", "--question", "Where?", "--max-new-tokens", 6, "--template", "plain")
        answers = []
        for states in (kept, *paths):
            answers.append(self.folder / f"answers{len(answers)}.h5")
            done = run("ask", "--model", GOLDEN_MODEL, "--states", states, "--output", answers[-1], "--tokenizer", self.vocabulary(), *ask)
            self.assertEqual(done.code, DONE, done.err)
        # Answers to states do not know which shard these are: they follow each other.
        _, expected = read_output(answers[0])
        arrays = self.merge(*answers[1:])[1]
        rows = {(arrays["documents/id"][d], q): text for d, q, text in
                zip(*(arrays[f"answers/{name}"] for name in ("document", "question", "text")))}
        wanted = {(expected["documents/id"][d], q): text for d, q, text in
                  zip(*(expected[f"answers/{name}"] for name in ("document", "question", "text")))}
        self.assertEqual(rows, wanted)
        self.assertEqual(arrays["questions/text"].tolist(), [b"Who?", b"Where?"])

    def test_where_rows_come_from_is_kept(self):
        paths = self.make_shards(3, JOBS["score"])
        parts = [read_output(path) for path in paths]
        arrays = self.merge(*paths)[1]
        self.assertEqual(arrays["shards/path"].tolist(), [str(path).encode() for path in paths])
        self.assertEqual(arrays["shards/shard"].tolist(), [1, 2, 3])
        self.assertEqual(arrays["shards/documents"].tolist(), [3, 3, 2])
        for name in ("command", "created", "model_path", "riverrun_version", "input_crc32c"):
            kept = [value.decode() if isinstance(value, bytes) else value for value in arrays[f"shards/{name}"].tolist()]
            self.assertEqual(kept, [attributes[name] for attributes, _ in parts])

    def test_failed_documents_stay_failed(self):
        source = self.documents([[5, 6], [7, 9999], [8]])
        paths = []
        for number, code in ((1, DONE), (2, SOME_FAILED)):
            self.job("embed", source, "--shard", f"{number}/2", expect=code)
            paths.append(self.folder / f"output{self.outputs}.h5")
        attributes, arrays = self.merge(*paths, expect=SOME_FAILED)
        self.assertEqual(attributes["complete"], 1)
        self.assertEqual(arrays["documents/status"].tolist(), [1, 2, 1])
        self.assertIn(b"9999", arrays["documents/error"][1])


class ShardTest(MergeTest):
    """Every document falls to one shard, under the id that it has in the whole input."""

    def ids(self, source, count, *options):
        vocabulary = ("--tokenizer", self.vocabulary())
        _, whole = self.job("embed", source, *vocabulary, *options)
        found = [None] * len(whole["documents/id"])
        for number in range(1, count + 1):
            attributes, arrays = self.job("embed", source, *vocabulary, *options, "--shard", f"{number}/{count}")
            self.assertEqual((attributes["shard"], attributes["shards"], attributes["block_tokens"]), (number, count, 512))
            for at, row in enumerate(arrays["documents/id"]):
                found[number - 1 + at * count] = row
        self.assertEqual(found, whole["documents/id"].tolist())
        return [row.decode() for row in found]

    def test_lines_without_ids(self):
        source = self.folder / "lines.jsonl"
        source.write_text('{"text": "a"}\n\n{"text": "b"}\n \t\n{"text": "c"}\n{"text": "d"}\n')
        self.assertEqual(self.ids(source, 3), ["lines.jsonl:1", "lines.jsonl:3", "lines.jsonl:5", "lines.jsonl:6"])

    def test_a_directory_of_everything(self):
        source = self.folder / "texts"
        source.mkdir()
        for name, size in (("a.txt", 9000), ("b.txt", 30), ("d.txt", 700)):
            (source / name).write_text(make_text(size))
        (source / "c.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x", "id": "x"}\n{"text": "y"}\n'))
        self.assertEqual(self.ids(source, 2), ["a.txt", "b.txt", "x", "c.jsonl:2", "d.txt"])

    def test_text_files_of_other_shards_are_not_opened(self):
        source = self.folder / "texts"
        source.mkdir()
        (source / "a.txt").write_text("a")
        (source / "b.txt.gz").write_bytes(b"this is not gzip")
        self.job("embed", source, "--tokenizer", self.vocabulary(), "--shard", "1/2")

    def test_shards_read_a_mixed_corpus_alike(self):
        # Whether --start-token auto means text or tokens is for the first document of all to say.
        source = self.documents(["text", [5, 6], "more", [7]])
        self.job("score", source, "--shard", "1/2", "--tokenizer", self.vocabulary())
        output = self.folder / "second.h5"
        done = run("score", "--model", GOLDEN_MODEL, "--input", source, "--output", output, "--shard", "2/2", "--tokenizer", self.vocabulary())
        self.assertEqual(done.code, BAD_INPUT, done.err)
        self.assertIn("mixes text and given tokens", done.err)

    def test_bad_shards_are_refused(self):
        for value, words in (("0/3", "not I/N"), ("4/3", "not I/N"), ("1", "not I/N"), ("a/b", "not I/N"), ("1/3x", "not I/N"),
                             ("9/9", "the input has 8 documents")):
            done = run("embed", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", self.merged, "--shard", value)
            self.assertEqual(done.code, BAD_INPUT, done.err)
            self.assertIn("--shard", done.err)
            self.assertIn(words, done.err)
            self.assertFalse(self.merged.exists())

    def test_another_shard_is_not_resumed(self):
        path = self.make_shards(2, ("embed",))[0]
        done = run("embed", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", path, "--threads", 1, *BLOCK, "--shard", "2/2", "--resume")
        self.assertEqual(done.code, BAD_INPUT, done.err)
        self.assertIn("shard was 1 and would now be 2", done.err)


class RefusedTest(MergeTest):
    def test_other_work(self):
        one = self.make_shards(2, ("embed",))
        for options, words in ((("--window", 10), "window is 0"), (("--normalize",), "normalize is 0"), (("--block-tokens", 128), "block_tokens is 64"),
                               (("--dtype", "float16"), "/embeddings"), (("--weights", "int8"), "weights is"), (("--save-states",), "/states/")):
            block = () if "--block-tokens" in options else BLOCK
            self.job("embed", self.corpus, *block, *options, "--shard", "2/2")
            self.refuse(one[0], self.folder / f"output{self.outputs}.h5", words=(words, one[0], f"output{self.outputs}.h5"))
        self.job("score", self.corpus, *BLOCK, "--shard", "2/2")
        self.refuse(one[0], self.folder / f"output{self.outputs}.h5", words=("job is embed",))

    def test_shards_that_are_missing_or_given_twice(self):
        paths = self.make_shards(3, ("embed",))
        self.refuse(paths[0], paths[2], words=("shard 2 of 3 is missing",))
        self.refuse(paths[0], paths[1], words=("shard 3 of 3 is missing",))
        self.refuse(*paths, paths[1], words=("document \"d1\" is in", paths[1]))

    def test_an_input_that_was_changed_between_the_shards(self):
        first = self.make_shards(2, ("embed",))[0]
        shorter = self.folder / "shorter.jsonl"
        shorter.write_text("".join(self.corpus.read_text().splitlines(keepends=True)[:5]))
        second = self.make_shards(2, ("embed",), source=shorter)[1]
        self.refuse(first, second, words=(first, "has 4 documents where shard 1 of 2 has 3 of 6", "was the input changed"))

    def test_a_document_that_is_in_two_files(self):
        paths = []
        for name in ("one", "two"):
            self.job("embed", self.documents([[1, 2], [3]], f"{name}.jsonl"))
            paths.append(self.folder / f"output{self.outputs}.h5")
        self.refuse(*paths, words=('"d0"', *paths))

    def test_outputs_that_are_in_the_way(self):
        paths = self.make_shards(2, ("embed",))
        self.merged.write_bytes(b"precious")
        self.refuse(*paths, words=("exists", "--overwrite"))
        self.merged.unlink()
        before = paths[0].read_bytes()
        done = run("merge", "--output", paths[0], *paths, "--overwrite")
        self.assertEqual(done.code, BAD_INPUT)
        self.assertEqual(paths[0].read_bytes(), before)

    def test_a_second_program_for_the_same_output(self):
        paths = self.make_shards(2, JOBS["score"])
        lock = self.folder / "merged.h5.lock"
        with lock.open("w") as held:
            held.write("host here\nprocess 12\nsince 2026-01-01T00:00:00Z\n")
            held.flush()
            fcntl.flock(held, fcntl.LOCK_EX)
            self.refuse(*paths, words=("is being written by process 12",))
        lock.unlink()

    def test_files_that_are_no_shards(self):
        path = self.make_shards(2, ("embed",))[0]
        (self.folder / "notes").write_text("notes")
        self.refuse(path, self.folder / "notes", words=("notes", "not an HDF5 file"))
        self.refuse(path, self.folder / "missing.h5", words=("missing.h5",))
        self.refuse(words=("say which files to merge",))
        damaged = self.folder / "damaged.h5"
        damaged.write_bytes(path.read_bytes()[:-3000])
        self.refuse(path, damaged, words=(damaged,))

    def test_a_merged_file_is_neither_merged_nor_resumed(self):
        paths = self.make_shards(2, ("embed",))
        self.merge(*paths)
        merged = shutil.move(self.merged, self.folder / "whole.h5")
        self.refuse(merged, words=("is itself the output of a merge",))
        done = run("embed", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", merged, *BLOCK, "--resume")
        self.assertEqual(done.code, BAD_INPUT)
        self.assertIn("riverrun merge made it of several outputs", done.err)

    def test_a_file_that_another_program_wrote_to(self):
        paths = self.make_shards(2, ("embed",))
        with h5py.File(paths[1], "a") as file:
            file["mine"] = numpy.zeros(3)
        self.refuse(*paths, words=(paths[1], "/mine"))


class IncompleteTest(MergeTest):
    def test_unfinished_shards(self):
        """One shard is killed in the middle."""
        tokens, pending = 500, 0
        while pending == 0:  # until a run is not over before it can be killed
            tokens *= 2
            self.assertLess(tokens, 100_000)
            source = self.documents([make_tokens(tokens + i, seed=i) for i in range(40)], "long.jsonl")
            job = ("embed", "--precision", "fp32")
            paths = self.make_shards(2, job, source=source)
            expected = [read_output(path)[1] for path in paths]
            paths[1].unlink()
            arguments = (*job, "--model", GOLDEN_MODEL, "--input", source, "--output", paths[1], "--threads", 1, *BLOCK, "--shard", "2/2")
            running = Running(arguments, (), self.folder / "log.txt")
            self.addCleanup(running.kill_all)
            deadline = time.monotonic() + LIMIT
            while running.process.poll() is None and count_done(paths[1]) == 0:
                self.assertLess(time.monotonic(), deadline, running.text())
                time.sleep(0.01)
            running.kill_all()
            pending = 20 - count_done(paths[1])
        self.refuse(*paths, words=(paths[1], f"{pending} of its 20 documents are still to do", "--allow-incomplete"))
        attributes, arrays = self.merge(*paths, "--allow-incomplete")
        self.assertEqual(attributes["complete"], 0)
        status = arrays["documents/status"]
        self.assertEqual((status == 0).sum(), pending)
        for row in (status == 1).nonzero()[0]:
            self.assertEqual(arrays["embeddings"][row].tobytes(), expected[row % 2]["embeddings"][row // 2].tobytes())
        # Finished, it is merged without a word.
        self.assertEqual(run(*arguments, "--resume").code, DONE)
        arrays = self.merge(*paths, "--overwrite")[1]
        for row in range(40):
            self.assertEqual(arrays["embeddings"][row].tobytes(), expected[row % 2]["embeddings"][row // 2].tobytes())


if __name__ == "__main__":
    unittest.main()
