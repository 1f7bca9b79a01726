"""Protects: answers come from the states that a job kept, are the same however they are asked for, and need that model."""

import fcntl
import json
import unittest

import h5py

from support import BAD_INPUT, GOLDEN_MODEL, SOME_FAILED, JobTest, make_model, make_tokens, read_output, run

SMALL = ("--max-new-tokens", 10, "--template", "plain", "--stop", "\n\n")
SAMPLED = ("--temperature", 1, "--seed", 4)
QUESTIONS = ["Who?", "the river and the delta?", "Wo die Flüsse?"]


class AskTest(JobTest):
    def setUp(self):
        super().setUp()
        self.tokenizer = self.vocabulary()
        self.corpus = self.documents([make_tokens(count, seed=count) for count in (5, 70, 200)])
        self.states = self.folder / "states.h5"
        done = run("embed", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", self.states, "--save-states",
                   "--precision", "fp32", "--threads", 1)
        self.assertEqual(done.code, 0, done.err)
        self.asked = 0

    def ask(self, *options, model=GOLDEN_MODEL, states=None, output=True, expect=0, **how):
        self.asked += 1
        path = self.folder / f"answers{self.asked}.h5"
        done = run("ask", "--model", model, "--states", states or self.states, "--tokenizer", self.tokenizer, "--threads", 1,
                   *SMALL, *(() if "--precision" in options else ("--precision", "fp32")), *options,
                   *(("--output", path) if output else ()), **how)
        self.assertEqual(done.code, expect, done.err)
        return (read_output(path)[1] if output and expect != BAD_INPUT else None), done

    def asking(self, questions):
        return [word for question in questions for word in ("--question", question)]

    def test_every_question_is_asked_of_every_document(self):
        arrays, done = self.ask(*self.asking(QUESTIONS))
        self.assertEqual(arrays["answers/document"].tolist(), [0, 0, 0, 1, 1, 1, 2, 2, 2])
        self.assertEqual(arrays["answers/question"].tolist(), [0, 1, 2] * 3)
        self.assertEqual([text.decode() for text in arrays["questions/text"]], QUESTIONS)
        self.assertTrue((arrays["answers/stop_reason"] > 0).all())
        self.assertEqual(arrays["documents/status"].tolist(), [1, 1, 1])
        self.assertIn("# d1: the river and the delta?", done.out)

    def test_an_output_that_another_run_writes_is_left_alone(self):
        with open(self.folder / "answers1.h5.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write("host elsewhere\nprocess 1\nsince now\n")
            lock.flush()
            done = self.ask(*self.asking(QUESTIONS), expect=BAD_INPUT)[1]
            self.assertIn("is being written by process 1 on elsewhere", done.err)
        self.assertFalse((self.folder / "answers1.h5").exists())

    def test_answers_continue_the_document(self):
        # A document that ends in the question is summarised with nothing but a last token: the same continuation.
        prompt = "\n\nQuestion: Who?\n\nAnswer:"
        file = self.folder / "prompts.txt"
        file.write_text(f"[before]\n[reminder]\n[section]\nx\n[after]\n{prompt}\n")
        summary = self.job("summarize", self.corpus, "--tokenizer", self.tokenizer, *SMALL, "--precision", "fp32", "--start-token",
                           "none", "--prompt-file", file)[1]
        answers, _ = self.ask("--question", "Who?")
        self.assertEqual(answers["answers/generated"].tolist(), summary["summaries/tokens"].tolist())
        self.assertEqual(answers["answers/text"].tolist(), summary["summaries/text"].tolist())

    def test_answers_do_not_depend_on_ranks_or_other_questions(self):
        expected, _ = self.ask(*SAMPLED, *self.asking(QUESTIONS))
        for ranks in (2, 4):
            found, _ = self.ask(*SAMPLED, *self.asking(QUESTIONS), "--ranks", ranks, "--transport", "threads")
            self.assert_same(found, expected, f"{ranks} ranks")
        alone, _ = self.ask(*SAMPLED, "--question", QUESTIONS[1])
        self.assertEqual(alone["answers/text"].tolist(), expected["answers/text"][1::3].tolist())

    def test_questions_from_a_file_and_answers_on_the_terminal(self):
        path = self.folder / "questions.jsonl"
        path.write_text("".join(json.dumps({"id": i, "question": text}) + "\n" for i, text in enumerate(QUESTIONS)))
        from_file, done = self.ask("--questions", path)
        given, _ = self.ask(*self.asking(QUESTIONS))
        self.assert_same(from_file, given)
        _, printed = self.ask("--questions", path, output=False)
        self.assertEqual(printed.out, done.out)

    def test_documents_without_a_state_are_named(self):
        with h5py.File(self.states, "r+") as file:
            file["documents/status"][1] = 0
        arrays, done = self.ask("--question", "Who?", expect=SOME_FAILED)
        self.assertEqual(arrays["documents/status"].tolist(), [1, 2, 1])
        self.assertIn("d1", done.err)
        self.assertEqual(arrays["answers/document"].tolist(), [0, 2])

    def test_states_of_another_model_are_refused(self):
        other = make_model(self.folder / "other.safetensors", seed=9)
        _, done = self.ask("--question", "Who?", model=other, expect=BAD_INPUT)
        self.assertIn("of another model", done.err)
        # One of the same sizes, with other weights.
        with h5py.File(self.states, "r") as file:
            sizes = {name: int(file.attrs[name]) for name in ("layers", "channels", "vocab")}
        twin = make_model(self.folder / "twin.safetensors", **sizes)
        states = self.folder / "twin.h5"
        run("embed", "--model", twin, "--input", self.corpus, "--output", states, "--save-states", "--precision", "fp32",
            "--threads", 1)
        second = make_model(self.folder / "second.safetensors", seed=9, **sizes)
        _, done = self.ask("--question", "Who?", model=second, states=states, expect=BAD_INPUT)
        self.assertIn("model_sha256", done.err)

    def test_states_computed_otherwise_are_refused(self):
        # fp32 states under bf16 or int8, and int8 states under fp32: none would be the document's own continuation.
        _, done = self.ask("--question", "Who?", "--precision", "bf16", expect=BAD_INPUT)
        self.assertIn("computed with fp32 (--precision), and the question would be read with bf16; say --precision fp32", done.err)
        _, done = self.ask("--question", "Who?", "--weights", "int8", expect=BAD_INPUT)
        self.assertIn("say --weights auto", done.err)
        states = self.folder / "int8.h5"
        run("embed", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", states, "--save-states", "--precision", "fp32",
            "--weights", "int8", "--threads", 1)
        _, done = self.ask("--question", "Who?", states=states, expect=BAD_INPUT)
        self.assertIn("say --weights int8", done.err)
        self.ask("--question", "Who?", "--weights", "int8", states=states)

    def test_bad_input_is_refused(self):
        for words, *options in (
            ("nothing to ask",),
            ("--question: the question is empty", "--question", ""),
            ("cannot read --questions", "--questions", self.folder / "none.jsonl"),
            ("cannot read --questions", "--questions", "/proc/self/mem"),  # opens, and gives an error when it is read
        ):
            _, done = self.ask(*options, expect=BAD_INPUT)
            self.assertIn(words, done.err)
        path = self.folder / "bad.jsonl"
        for content, words in ((b'{"question": 3}\n', "line 1"), (b'{"question": "a"}\nnonsense\n', "line 2"),
                               (b'\n{"question": ""}\n', "line 2"), (b'[' * 100000 + b"\n", "line 1"),
                               (b'{"question": "\xff"}\n', "line 1"), (b"x" * 700000, "too long")):
            path.write_bytes(content)
            _, done = self.ask("--questions", path, expect=BAD_INPUT)
            self.assertIn(words, done.err)
        prompts = self.folder / "prompts.txt"
        prompts.write_text("[question]\nWhat?\n")
        _, done = self.ask("--question", "Who?", "--prompt-file", prompts, expect=BAD_INPUT)
        self.assertIn("{question}", done.err)
        without = self.folder / "without.h5"
        run("embed", "--model", GOLDEN_MODEL, "--input", self.corpus, "--output", without, "--threads", 1)
        _, done = self.ask("--question", "Who?", states=without, expect=BAD_INPUT)
        self.assertIn("--save-states", done.err)


if __name__ == "__main__":
    unittest.main()
