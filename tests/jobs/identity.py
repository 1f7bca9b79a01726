"""The corpus and the jobs of the identity tests: results are the same bytes however a document is run."""

from support import JobTest, make_tokens

# Lengths around the edges of blocks of 64, 128 and 512 tokens and of chunks, and one chain of many blocks.
LENGTHS = [1, 2, 63, 64, 65, 5, 127, 128, 129, 511, 512, 513, 17, 1601]
EMBED = ("embed", "--window", "50", "--normalize", "--save-states")
SCORE = ("score", "--save-states")


class IdentityTest(JobTest):
    def setUp(self):
        super().setUp()
        self.contents = [make_tokens(length, seed=length) for length in LENGTHS]
        self.corpus = self.documents(self.contents)

    def run_as(self, kind, *options, source=None, **how):
        command, *own = kind
        return self.job(command, source or self.corpus, *own, *options, **how)[1]

    def check(self, kind, precision, ways):
        """`ways`: {what: (options, launcher)}, each compared with one rank, one thread, blocks of 512."""
        expected = self.run_as(kind, "--precision", precision, "--block-tokens", 512)
        self.assertTrue((expected["documents/status"] == 1).all())
        for what, (options, launcher) in ways.items():
            found = self.run_as(kind, "--precision", precision, *options, launcher=launcher)
            self.assert_same(found, expected, f"{kind[0]} {precision} {what}")
