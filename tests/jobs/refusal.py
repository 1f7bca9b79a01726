"""What a refused run must look like: exit code, a message that says what and where, nothing left behind."""

import h5py

from support import BAD_INPUT, GOLDEN_MODEL, JobTest, run


class RefusalTest(JobTest):
    launcher = ()
    limit = 100  # seconds: a run that refuses must not wait for anything

    def setUp(self):
        super().setUp()
        self.output = self.folder / "out.h5"
        self.good = self.documents([[1, 2, 3], [4, 5]], "good.jsonl")

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def start(self, *options, command="embed", source=None, model=GOLDEN_MODEL, output=None, **how):
        return run(
            command,
            "--model",
            model,
            "--input",
            source or self.good,
            "--output",
            output or self.output,
            *options,
            launcher=self.launcher,
            limit=self.limit,
            **how
        )

    def refuse(self, *options, words, code=BAD_INPUT, **how):
        """`words`: what the message must contain, such as the file, the line and the way out."""
        done = self.start(*options, **how)
        with self.subTest(options=options, **{key: str(value) for key, value in how.items()}):
            self.assertEqual(done.code, code, done.err)
            errors = [line for line in done.err.splitlines() if " error " in line]
            self.assertTrue(errors, done.err)
            for word in words:
                self.assertIn(str(word), errors[0])
            self.assertNotIn("unexpected:", done.err)
            self.assert_no_scratch()
            self.assertFalse(self.output.exists(), "an output was left behind")
        self.output.unlink(missing_ok=True)

    def fail_one(self, source, *options, document, words, others, **how):
        """One document fails with a reason in the file; the others are done."""
        done = self.start(*options, source=source, **how)
        self.assertEqual(done.code, 3, done.err)
        self.assertIn("documents failed; reasons are in /documents/error", done.err)
        with h5py.File(self.output, "r") as file:
            status = file["documents/status"][:].tolist()
            error = file["documents/error"].asstr()[document]
            self.assertEqual(file.attrs["complete"], 1)
        for word in words:
            self.assertIn(str(word), error)
        expected = [1] * (others + 1)
        expected[document] = 2
        self.assertEqual(status, expected)
        self.assert_no_scratch()
        self.output.unlink()
