"""Protects: under mpirun too, what is refused is refused at once, with the same exit code and message."""

import unittest

from refusal import RefusalTest
from support import make_model, mpirun


class BadInputUnderMpiTest(RefusalTest):
    launcher = mpirun(2)

    def test_what_every_rank_finds(self):
        self.refuse("--pool", "x", words=["--pool 'x'"])
        self.refuse(model=self.folder / "missing.pth", words=["missing.pth", "No such file"])
        self.refuse(
            command="score",
            model=make_model(self.folder / "h.safetensors", headless=True),
            words=["head.weight"],
        )

    def test_what_only_the_first_rank_finds(self):
        twice = self.write("twice.jsonl", '{"id": "a", "tokens": [1]}\n{"id": "a", "tokens": [1]}\n')
        self.refuse(source=twice, words=['"a"', f"{twice} line 2"])
        self.refuse(source=self.folder / "missing.jsonl", words=["missing.jsonl", "No such file"])
        self.refuse("--end-token", "300", words=["end token 300"])

    def test_other_work_than_the_output_holds(self):
        self.assertEqual(self.start().code, 0)
        before = self.output.read_bytes()
        done = self.start("--resume", "--pool", "last")
        self.assertEqual(done.code, 2, done.err)
        self.assertIn("pool was mean and would now be last", done.err)
        self.assertEqual(self.start().code, 2)
        self.assertEqual(self.output.read_bytes(), before)
        self.assert_no_scratch()

    def test_transports_of_one_process(self):
        # Each process would do the whole job and write the same file.
        self.refuse("--transport", "threads", "--ranks", 2, words=["--transport threads", "2"])
        self.refuse("--transport", "self", words=["--transport self", "2"])

    def test_a_failed_document(self):
        self.fail_one(
            self.documents([[1, 2], [300], [4] * 300]),
            "--block-tokens",
            64,
            document=1,
            others=2,
            words=["300"],
        )


if __name__ == "__main__":
    unittest.main()
