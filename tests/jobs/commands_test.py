"""Protects: what the program says about itself, its files, its plans and its runs."""

import json
import re
import unittest

from support import GOLDEN_MODEL, JobTest, make_model, make_tokens, run

RUN = """--model --output --tokenizer --backend --precision --weights --transport --ranks --threads --share-weights
    --timeout --synchronous-sends --progress --log-level --overwrite""".split()
CORPUS = """--input --initial-state --shard --resume --keep-invalid-utf8 --block-tokens --start-token --end-token
    --checkpoint-seconds --verify --trace --save-states""".split()
TEXTS = """--template --prompt-file --max-new-tokens --stop --temperature --top-p --top-k --presence-penalty
    --frequency-penalty --penalty-decay --seed""".split()
OPTIONS = {
    "embed": RUN + CORPUS + "--pool --window --normalize --dtype".split(),
    "score": RUN + CORPUS,
    "summarize": RUN + CORPUS + TEXTS + "--mode --section-tokens --extractive --window --also-text".split(),
    "ask": RUN + TEXTS + "--states --question --questions".split(),
    "merge": "--output --allow-incomplete --overwrite".split(),
    "convert": "--dtype --overwrite".split(),
    "bench": """--model --generation --shape --backend --precision --weights --threads --transport --ranks --tokens
        --block-tokens --batches --tokenizer --input --rounds --json""".split(),
    "plan": """--model --input --tokens --job --ranks --block-tokens --weights --gflops --state-gflops --hop-us --blocks
        --gpu-memory --start-token --end-token --tokenizer""".split(),
    "inspect": ["--json"],
}


class HelpTest(unittest.TestCase):
    def test_the_program(self):
        for word in ("--help", "-h", "help"):
            done = run(word)
            self.assertEqual(done.code, 0)
            for text in (*OPTIONS, "--version", "exit codes"):
                self.assertIn(text, done.out)
        done = run("--version")
        self.assertEqual(done.code, 0)
        self.assertRegex(done.out, r"^riverrun \d+\.\d+\.\d+\n$")

    def test_every_command_names_its_options(self):
        for command, expected in OPTIONS.items():
            done = run(command, "--help")
            self.assertEqual(done.code, 0, done.err)
            self.assertEqual(done.err, "")
            named = set(re.findall(r"--[a-z0-9-]+", done.out))
            self.assertEqual(sorted({*expected, "--config", "--help"} - named), [], command)

    def test_help_comes_before_missing_options(self):
        self.assertEqual(run("embed", "--help", "--window", 5).code, 0)


class InspectTest(JobTest):
    def inspect(self, path):
        plain, as_json = run("inspect", path), run("inspect", path, "--json")
        self.assertEqual((plain.code, as_json.code), (0, 0), plain.err + as_json.err)
        return plain.out, json.loads(as_json.out)

    def test_checkpoints(self):
        for path, container, tensors, head in (
            (GOLDEN_MODEL, "pth (zip)", 102, True),
            (make_model(self.folder / "a.safetensors", headless=True, layers=2), "safetensors", None, False),
        ):
            plain, found = self.inspect(path)
            self.assertEqual(found["container"], container)
            self.assertEqual(
                [found[name] for name in ("generation", "channels", "head_size", "vocab", "weights", "head")],
                ["rwkv7", 128, 64, 271, "bf16", head],
            )
            self.assertEqual(found["state_bytes"], found["layers"] * (2 * 64 * 64 + 2 * 128) * 4)
            if tensors:
                self.assertEqual(found["tensors"], tensors)
            for word in (str(path), container, "rwkv7", str(found["parameters"])):
                self.assertIn(word, plain)

    def test_outputs(self):
        source = self.documents([make_tokens(90), [300], [5]])
        self.job("embed", source, "--window", 40, "--precision", "fp32", expect=3)
        plain, found = self.inspect(self.folder / "output1.h5")
        self.assertEqual(found["documents"], {"total": 3, "pending": 0, "done": 2, "failed": 1, "tokens": 91})
        self.assertEqual(found["attributes"]["job"], "embed")
        self.assertEqual(found["attributes"]["precision"], "fp32")
        self.assertEqual(found["attributes"]["window"], 40)
        self.assertIn(str(source), found["attributes"]["command"])
        self.assertRegex(found["attributes"]["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(found["failures"][0]["id"], "d1")
        self.assertIn("300", found["failures"][0]["error"])
        shapes = {dataset["path"]: dataset["shape"] for dataset in found["datasets"]}
        self.assertEqual(shapes["/embeddings"], [3, 128])
        self.assertEqual(shapes["/windows/embedding"], [4, 128])
        for word in ("/windows/embedding", "fp32", "d1", "failed"):
            self.assertIn(word, plain)


class PlanTest(JobTest):
    LENGTHS = [1000, 10, 20, 129, 512]

    def plan(self, *options):
        done = run("plan", "--model", GOLDEN_MODEL, *options)
        self.assertEqual(done.code, 0, done.err)
        return done.out

    def test_one_long_document(self):
        out = self.plan("--tokens", 1000, "--block-tokens", 64, "--ranks", 2)
        self.assertRegex(out, r"blocks +16 of up to 64 tokens, over 2 ranks")
        self.assertRegex(out, r"carries handed on +15,")
        self.assertRegex(out, r"P_max = L / \(f \+ h/c\) = 3 / ")
        self.assertNotIn("more than one document can use", out)
        self.assertIn("more than one document can use", self.plan("--tokens", 100000, "--ranks", 50))

    def test_whether_a_gpu_has_the_memory(self):
        def gpu(gibibytes, block):
            out = self.plan("--tokens", 10**8, "--block-tokens", block, "--gpu-memory", gibibytes)
            return re.search(rf"a GPU of {gibibytes} GiB +(.*)", out)[1]

        self.assertIn("too small: weights and libraries take ", gpu(0.01, 64))
        most = int(re.search(r"at most --block-tokens (\d+)", gpu(0.5, 2**20))[1])
        self.assertEqual(most % 16, 0)
        self.assertRegex(gpu(0.5, most), rf"fits, with [\d.]+ MiB; blocks may have up to {most} tokens")
        self.assertIn(f"at most --block-tokens {most}", gpu(0.5, most + 16))

    def test_blocks_that_are_chosen(self):
        """From the longest document, larger on a GPU, and fewer tokens where ranks would get too few blocks."""
        def chosen(tokens, *options):
            return int(re.search(r"blocks +\d+ of up to (\d+) tokens", self.plan("--tokens", tokens, *options))[1])

        self.assertEqual([chosen(t) for t in (100, 512, 1000, 4000, 8192, 10**6)], [512, 512, 128, 192, 512, 512])
        gpu = [chosen(t, "--gpu-memory", 80) for t in (100, 4096, 5000, 30000, 65536, 10**6)]
        self.assertEqual(gpu, [4096, 4096, 1024, 1792, 4096, 4096])

    def blocks(self, out):
        """[(rank, number of the block before or None, [(document, first token, tokens)])]"""
        rows = re.findall(r"^ +\d+ +(\d+) +(-|\d+) +\d+ +(\d+) +((?:\d+:\d+\+\d+ )+)$", out, re.MULTILINE)
        return [
            (
                int(rank),
                None if before == "-" else int(before),
                int(tokens),
                [tuple(map(int, re.split("[:+]", part))) for part in slices.split()],
            )
            for rank, before, tokens, slices in rows
        ]

    def test_blocks_cover_the_corpus(self):
        source = self.documents([make_tokens(count) for count in self.LENGTHS])
        for ranks in (1, 3):
            out = self.plan("--input", source, "--block-tokens", 128, "--ranks", ranks, "--blocks")
            blocks = self.blocks(out)
            self.assertRegex(out, rf"blocks +{len(blocks)} of up to 128 tokens")
            slices = sorted(part for *_, parts in blocks for part in parts)
            expected = [
                (document, first, min(128, count - first))
                for document, count in enumerate(self.LENGTHS)
                for first in range(0, count, 128)
            ]
            self.assertEqual(slices, expected)
            for rank, before, tokens, parts in blocks:
                self.assertLess(rank, ranks)
                self.assertEqual(tokens, sum(part[2] for part in parts))
                document, first, _ = parts[0]
                self.assertEqual(before is None, first == 0)
                if before is not None:
                    self.assertEqual(blocks[before][3][0][:2], (document, first - 128))

    def test_it_writes_nothing_and_agrees_with_the_run(self):
        source = self.documents([make_tokens(count) for count in self.LENGTHS])
        files = sorted(path.name for path in self.folder.iterdir())
        blocks = self.blocks(self.plan("--input", source, "--block-tokens", 128, "--ranks", 2, "--blocks"))
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), files)
        trace = self.folder / "trace.json"
        self.job(
            "embed", source, "--block-tokens", 128, "--transport", "threads", "--ranks", 2, "--trace", trace
        )
        events = json.loads(trace.read_text())["traceEvents"]
        computed = {
            (event["pid"], event["args"]["block"]) for event in events if "block" in event.get("args", {})
        }
        self.assertEqual(computed, {(rank, number) for number, (rank, *_) in enumerate(blocks)})


class TraceTest(JobTest):
    def test_ranks_that_are_threads(self):
        self.check_trace(1)
        self.check_trace(3, "--transport", "threads", "--ranks", 3)


class BenchTest(JobTest):
    """Only that it measures what it says; how fast is no test's business."""

    def bench(self, *options):
        done = run("bench", *options, "--model", GOLDEN_MODEL, "--precision", "fp32", "--rounds", 1, "--threads", 1, "--json")
        self.assertEqual(done.code, 0, done.err)
        return json.loads(done.out)

    def test_prefill(self):
        (row,) = self.bench("prefill", "--tokens", 80, "--block-tokens", 32)
        self.assertEqual((row["tokens"], row["block"], row["threads"], row["precision"]), (80, 32, 1, "fp32"))
        self.assertGreater(row["tokens/s"], 0)
        self.assertAlmostEqual(row["share"], row["tokens/s"] / row["bound"], places=6)

    def test_decode(self):
        rows = self.bench("decode", "--batches", "1 3")
        self.assertEqual([row["batch"] for row in rows], [1, 3])
        for row in rows:
            self.assertAlmostEqual(row["tokens/s"] * row["ms/step"] / 1000, row["batch"], places=6)

    def test_ring(self):
        for ranks in (1, 2, 3):
            (row,) = self.bench("ring", "--tokens", 200, "--block-tokens", 32, "--ranks", ranks)
            self.assertEqual((row["ranks"], row["tokens"]), (ranks, 200))
            self.assertAlmostEqual(row["efficiency"] * ranks, row["speed-up"], places=6)
            self.assertTrue(0 < row["forecast"] < 1 + 1e-9, row)
            self.assertEqual(row["hop us"] > 0, ranks > 1)

    def test_refusals(self):
        for options, word in (
            ([], "prefill, decode"),
            (["swim"], "prefill, decode"),
            (["prefill", "--shape", "9b"], "0.1b, 0.4b"),
            (["decode", "--batches", "1 x"], "1 x"),
            (["decode", "--batches", "0"], "--batches 0"),
        ):
            done = run("bench", *options)
            self.assertEqual(done.code, 2, done.err)
            self.assertIn(word, done.err)


class LogTest(JobTest):
    def test_levels_and_progress(self):
        source = self.documents([[1, 2], [300]])
        base = [
            "embed",
            "--model",
            GOLDEN_MODEL,
            "--input",
            source,
            "--overwrite",
            "--output",
            self.folder / "o.h5",
        ]
        for level, words in (("error", []), ("warning", ["warning"]), ("info", ["info", "warning"])):
            done = run(*base, "--log-level", level)
            self.assertEqual(done.code, 3)
            found = re.findall(r"^\d\d:\d\d:\d\d (\w+) ", done.err, re.MULTILINE)
            self.assertEqual(sorted(set(found)), words, level)
        for style in ("auto", "bar", "log", "none"):
            self.assertEqual(run(*base, "--progress", style).code, 3)

    def test_standard_output_stays_empty(self):
        source = self.documents([[1, 2]])
        done = run("embed", "--model", GOLDEN_MODEL, "--input", source, "--output", self.folder / "o.h5")
        self.assertEqual(done.out, "")


class RandomModelTest(JobTest):
    def test_same_seed_same_bytes(self):
        one, two, other = (
            make_model(self.folder / f"{name}.safetensors", seed=seed).read_bytes()
            for name, seed in (("one", 1), ("two", 1), ("other", 2))
        )
        self.assertEqual(one, two)
        self.assertNotEqual(one, other)


if __name__ == "__main__":
    unittest.main()
