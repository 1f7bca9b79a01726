"""Protects: what summarize writes, that it does not depend on how a job is run, and what it refuses."""

import unittest

import h5py
import numpy

from support import BAD_INPUT, GOLDEN_MODEL, SOME_FAILED, JobTest, make_text, make_tokens, read_output, run

LENGTHS = [1, 70, 64, 65, 300, 128, 129, 17, 700]
SMALL = ("--max-new-tokens", 12, "--precision", "fp32", "--template", "plain", "--stop", "\n\n")
DRAWN = ("--temperature", 1, "--top-p", 0.9, "--presence-penalty", 0.4)
SAMPLED = (*DRAWN, "--seed", 5)
MODES = {
    "final": ("--mode", "final"),
    "sections": ("--mode", "sections", "--section-tokens", 64),
    "hierarchical": ("--mode", "hierarchical", "--section-tokens", 64),
}


def texts(arrays, group):
    return [row.decode() for row in arrays[f"{group}/text"]]


class SummarizeTest(JobTest):
    def setUp(self):
        super().setUp()
        self.tokenizer = self.vocabulary()
        self.corpus = self.documents([make_tokens(count, seed=count) for count in LENGTHS])

    def summarize(self, *options, source=None, **how):
        return self.job("summarize", source or self.corpus, "--tokenizer", self.tokenizer, *SMALL, *options, **how)[1]

    def test_one_text_per_document(self):
        arrays = self.summarize()
        self.assertTrue((arrays["documents/status"] == 1).all())
        length, tokens, reason = (arrays[f"summaries/{name}"] for name in ("length", "tokens", "stop_reason"))
        self.assertEqual(tokens.shape, (len(LENGTHS), 12))
        for row in range(len(LENGTHS)):
            self.assertTrue((tokens[row, : length[row]] > 0).all())
            self.assertTrue((tokens[row, length[row] :] == -1).all())
            self.assertIn(reason[row], (1, 2, 3))
            if reason[row] == 3:
                self.assertEqual(length[row], 12)
        self.assertGreater(len(set(texts(arrays, "summaries"))), 1)
        self.assertIn(f"wrote {len(LENGTHS)} texts of {length.sum()} tokens in all", self.log)

    def test_sections_cover_each_document(self):
        arrays = self.summarize(*MODES["sections"])
        expected = [
            (document, first, min(64, count - first))
            for document, count in enumerate(LENGTHS)
            for first in range(0, count, 64)
        ]
        found = zip(*(arrays[f"sections/{name}"].tolist() for name in ("document", "first_token", "tokens")))
        self.assertEqual(list(found), expected)
        self.assertTrue((arrays["sections/stop_reason"] > 0).all())
        self.assertNotIn("summaries/text", arrays)

    def test_hierarchy_ends_in_one_text(self):
        arrays = self.summarize(*MODES["hierarchical"])
        self.assertTrue((arrays["documents/status"] == 1).all())
        self.assertTrue((arrays["summaries/stop_reason"] > 0).all())
        long = [document for document, count in enumerate(LENGTHS) if count > 64]
        self.assertEqual(sorted(set(arrays["sections/document"].tolist())), long)

    def test_a_document_whose_texts_do_not_get_shorter_fails_alone(self):
        # Drawn bytes are often no UTF-8, and each such byte is read again as the three of U+FFFD.
        options = ("--tokenizer", self.tokenizer, "--precision", "fp32", "--template", "plain", "--max-new-tokens", 30)
        for ranks in (1, 3):
            how = ("--ranks", ranks, "--transport", "threads" if ranks > 1 else "self")
            arrays = self.job("summarize", self.corpus, *options, *MODES["hierarchical"], *SAMPLED, *how, expect=SOME_FAILED)[1]
            for document, count in enumerate(LENGTHS):
                with self.subTest(ranks=ranks, tokens=count):
                    if count <= 64:
                        self.assertEqual(arrays["documents/status"][document], 1)
                        self.assertGreater(arrays["summaries/stop_reason"][document], 0)
                    elif count > 128:
                        self.assertEqual(arrays["documents/status"][document], 2)
                        self.assertIn(b"do not get shorter", arrays["documents/error"][document])

    def test_a_document_of_one_section_has_the_same_summary_in_a_hierarchy(self):
        hierarchy, final = self.summarize(*MODES["hierarchical"]), self.summarize("--section-tokens", 64)
        for document, count in enumerate(LENGTHS):
            if count <= 64:
                self.assertEqual(hierarchy["summaries/text"][document], final["summaries/text"][document])

    def test_texts_do_not_depend_on_ranks_blocks_or_threads(self):
        for name, mode in MODES.items():
            for sampling in ((), SAMPLED):
                expected = self.summarize(*mode, *sampling, "--block-tokens", 512)
                for ways in (("--ranks", 2, "--transport", "threads"), ("--block-tokens", 48, "--threads", 2),
                             ("--ranks", 3, "--transport", "threads", "--block-tokens", 16)):
                    self.assert_same(self.summarize(*mode, *sampling, *ways), expected, f"{name} {sampling} {ways}")

    def test_texts_do_not_depend_on_the_other_documents(self):
        source = self.documents([make_tokens(count, seed=count) for count in LENGTHS[::-1]], "backwards.jsonl")
        text = source.read_text().splitlines()
        names = [f'"d{len(LENGTHS) - 1 - i}"' for i in range(len(text))]
        source.write_text("\n".join(line.replace(f'"d{i}"', names[i]) for i, line in enumerate(text)) + "\n")
        forwards, backwards = self.summarize(*SAMPLED), self.summarize(*SAMPLED, source=source)
        self.assertEqual(texts(forwards, "summaries"), texts(backwards, "summaries")[::-1])

    def test_seed_and_document_choose_the_text(self):
        same = make_tokens(40, seed=1)
        source = self.documents([same, same], "twins.jsonl")
        sampled, greedy = self.summarize(*SAMPLED, source=source), self.summarize(source=source)
        self.assertNotEqual(*sampled["summaries/tokens"].tolist())
        self.assertEqual(*greedy["summaries/tokens"].tolist())
        other = self.summarize(*DRAWN, "--seed", 6, source=source)
        self.assertNotEqual(other["summaries/tokens"].tolist(), sampled["summaries/tokens"].tolist())

    def test_the_prompt_is_read(self):
        prompts = self.folder / "prompts.txt"
        prompts.write_text("[before]\nRead this.\n[reminder]\n(go on)\n[section]\nPart:\n[after]\nAll:\n\\[x]\n")
        by_part = {}
        plain = self.summarize(*MODES["hierarchical"], "--prompt-file", prompts)
        for part in ("Read this.", "(go on)", "Part:", "All:"):
            changed = self.folder / "changed.txt"
            changed.write_text(prompts.read_text().replace(part, "Something else"))
            arrays = self.summarize(*MODES["hierarchical"], "--prompt-file", changed)
            by_part[part] = (
                (arrays["sections/generated"] != plain["sections/generated"]).any(),
                (arrays["summaries/tokens"] != plain["summaries/tokens"]).any(),
            )
        self.assertEqual(
            by_part,
            {"Read this.": (True, True), "(go on)": (True, True), "Part:": (True, True), "All:": (False, True)},
        )

    def test_texts_are_read_with_the_documents_own_tokens(self):
        # The same text, given as text and as the tokens of that vocabulary.
        text = make_text(500)
        source = self.documents([text], "text.jsonl")
        arrays = self.summarize(*MODES["sections"], source=source)
        self.assertEqual(arrays["documents/bytes"].tolist(), [len(text.encode())])
        self.assertEqual(arrays["sections/tokens"].sum(), arrays["documents/tokens"][0])

    def test_states_are_those_of_the_document_alone(self):
        with_texts = self.summarize("--save-states", *MODES["sections"])
        final = self.summarize("--save-states", "--section-tokens", 64)
        self.assertEqual(with_texts["states/wkv"].tobytes(), final["states/wkv"].tobytes())

    def test_resume_completes_to_the_same_bytes(self):
        for mode in MODES.values():
            expected = self.summarize(*mode, *SAMPLED)
            output = self.folder / f"output{self.outputs}.h5"
            with h5py.File(output, "r+") as file:
                status = file["documents/status"]
                status[[2, 4, 8]] = 0
                for group in ("summaries/text", "sections/text"):
                    if group in file:
                        file[group][...] = b"x"
            done = run("summarize", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", output, "--tokenizer",
                       self.tokenizer, *SMALL, *mode, *SAMPLED, "--threads", 1, "--resume")
            self.assertEqual(done.code, 0, done.err)
            arrays = read_output(output)[1]
            for document in (2, 4, 8):
                if "summaries/text" in arrays:
                    self.assertEqual(arrays["summaries/text"][document], expected["summaries/text"][document])
                if "sections/text" in arrays:
                    mine = arrays["sections/document"] == document
                    self.assertEqual(arrays["sections/text"][mine].tolist(), expected["sections/text"][mine].tolist())

    def test_plain_files_hold_the_same_texts(self):
        folder = self.folder / "texts"
        arrays = self.summarize(*MODES["hierarchical"], "--also-text", folder)
        self.assertEqual(sorted(path.name for path in folder.iterdir()), [f"d{i}.txt" for i in range(len(LENGTHS))])
        for document in range(len(LENGTHS)):
            text = (folder / f"d{document}.txt").read_bytes().decode()
            self.assertIn(arrays["summaries/text"][document].decode(), text)
            for row in (arrays["sections/document"] == document).nonzero()[0]:
                first, tokens = arrays["sections/first_token"][row], arrays["sections/tokens"][row]
                self.assertIn(f"## Tokens {first} to {first + tokens - 1}", text)
                self.assertIn(arrays["sections/text"][row].decode(), text)

    def refuse(self, words, *options):
        done = run("summarize", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", self.folder / "refused.h5",
                   "--tokenizer", self.tokenizer, *options)
        self.assertEqual(done.code, BAD_INPUT, done.err)
        self.assertIn(words, done.err)
        self.assertFalse((self.folder / "refused.h5").exists())

    def test_bad_options_are_refused(self):
        self.refuse("--mode 'all'", "--mode", "all")
        self.refuse("--section-tokens 15", "--mode", "sections", "--section-tokens", 15)
        self.refuse("--section-tokens 100 is less than 101", "--mode", "hierarchical", "--section-tokens", 100, "--max-new-tokens", 50)
        self.refuse("--template 'chat'", "--template", "chat")
        self.refuse("--temperature -1", "--temperature", -1)
        self.refuse("--top-p 2", "--top-p", 2)
        self.refuse("--max-new-tokens 0", "--max-new-tokens", 0)
        self.refuse("--stop is empty", "--stop", "")

    def test_the_start_token_is_recorded_and_another_is_refused(self):
        options = ("summarize", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", self.folder / "start.h5",
                   "--tokenizer", self.tokenizer, *SMALL)
        for start, recorded in (("auto", 0), ("none", -1), (5, 5)):
            done = run(*options, "--overwrite", "--start-token", start)
            self.assertEqual(done.code, 0, done.err)
            self.assertEqual(read_output(self.folder / "start.h5")[0]["start_token"], recorded)
        done = run(*options, "--resume", "--start-token", 6)
        self.assertEqual(done.code, BAD_INPUT, done.err)
        self.assertIn("start_token was 5 and would now be 6", done.err)
        self.refuse("--start-token 999999 is outside the model's vocabulary", "--start-token", 999999)

    def test_bad_prompt_files_are_refused(self):
        path = self.folder / "bad.txt"
        for content, words in (
            (b"[before]\nx\n[middle]\n", "line 3: there is no part [middle]"),
            (b"[after]\nx\n[after]\ny\n", "line 3: the part [after] is there already"),
            (b"hello\n[after]\nx\n", "line 1: text before the first part"),
            (b"", "no part was found"),
            (b"[after]\n\xff\n", "not UTF-8"),
            (b"[after]\n[section]\nx\n", "[after] is empty"),
            (b"x" * (1 << 21), "larger than 1 MiB"),
        ):
            path.write_bytes(content)
            self.refuse(words, "--prompt-file", path)
        self.refuse("--prompt-file", "--prompt-file", self.folder / "missing.txt")


if __name__ == "__main__":
    unittest.main()
