#!/usr/bin/env python3
"""Every check of lint.py fails on a tree that breaks its rule, names the place, and passes the tree that does not."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LINT = Path(__file__).with_name("lint.py")
COMPILER = os.environ.get("CXX", "c++")


class LintTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.root = Path(holder.name)
        (self.root / "src").mkdir()

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def lint(self, check):
        return subprocess.run([sys.executable, "-B", LINT, "--root", self.root, "--compiler", COMPILER, check],
                              text=True, capture_output=True)

    def finds(self, check, *places):
        run = self.lint(check)
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        found = [line for line in run.stdout.splitlines() if line.startswith(("src", "kernels", "jobs", "tests", "docs",
                                                                               "README", "cluster"))]
        self.assertEqual(len(found), len(places), run.stdout)
        for line, place in zip(found, places):
            self.assertTrue(line.startswith(place), f"{line} is not about {place}")

    def passes(self, check):
        run = self.lint(check)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


class Includes(LintTest):
    def test_arrows_of_the_architecture_pass(self):
        self.write("src/core/a.h", '#include "core/b.h"\n#include <vector>\n')
        self.write("src/model/a.cc", '#include "model/a.h"\n#include "kernels/x.h"\n#include "checkpoint/x.h"\n')
        self.write("src/ring/a.cc", '#include "plan/x.h"\n#include "transport/x.h"\n#include "kernels/segment.h"\n')
        self.write("kernels/cpu/a.cc", '#include "kernels/cpu/b.h"\n#include "core/a.h"\n#include "hwy/highway.h"\n')
        self.write("jobs/embed.cc", '#include "output/x.h"\n#include "text/x.h"\n#include "jobs/job.h"\n')
        self.passes("includes")

    def test_each_arrow_against_the_flow_is_found(self):
        self.write("src/core/a.h", '#include "plan/plan.h"\n')
        self.write("src/output/a.h", '// first\n#include "ring/ring.h"\n')
        self.write("src/plan/a.cc", '#include "transport/transport.h"\n')
        self.write("src/ring/a.cc", '#include "output/writer.h"\n#include "kernels/matmul.h"\n')
        self.write("src/text/a.cc", '  #  include "checkpoint/x.h"\n')
        self.write("kernels/cuda/a.cu", '#include "model/model.h"\n')
        self.finds("includes", "src/core/a.h:1:", "src/output/a.h:2:", "src/plan/a.cc:1:", "src/ring/a.cc:1:",
                   "src/ring/a.cc:2:", "src/text/a.cc:1:", "kernels/cuda/a.cu:1:")

    def test_nothing_but_jobs_includes_jobs(self):
        self.write("src/ring/a.cc", "#include <jobs/job.h>\n")
        self.finds("includes", "src/ring/a.cc:1: ring may not include jobs")

    def test_a_header_is_named_by_its_folder(self):
        self.write("src/core/a.cc", '#include "a.h"\n#include "../plan/plan.h"\n')
        self.finds("includes", "src/core/a.cc:1:", "src/core/a.cc:2:")

    def test_a_new_folder_needs_a_rule(self):
        self.write("src/extra/a.h", "")
        self.finds("includes", "src/extra/a.h:1: folder 'extra'")


class Packages(LintTest):
    HOME = {"mpi.h": "src/transport/mpi.cc", "nccl.h": "src/transport/nccl.cc", "cuda_runtime.h": "kernels/cuda/a.cu",
            "hdf5.h": "src/output/hdf5_file.cc", "boost/program_options.hpp": "jobs/options.cc",
            "oneapi/dnnl/dnnl.hpp": "kernels/cpu/matmul.cc", "hwy/highway.h": "kernels/cpu/wkv7.cc",
            "simdjson.h": "src/text/json_lines.cc", "nlohmann/json.hpp": "src/checkpoint/safetensors.cc",
            "gtest/gtest.h": "tests/core/a_test.cc"}

    def test_every_package_passes_at_home(self):
        for header, home in self.HOME.items():
            self.write(home, f"#include <{header}>\n")
        self.passes("packages")

    def test_every_package_is_found_elsewhere_in_either_quoting(self):
        for header in self.HOME:
            for text in (f"#include <{header}>\n", f'int x;\n#include "{header}"\n'):
                with self.subTest(header=header, text=text):
                    self.write("src/plan/a.cc", text)
                    self.finds("packages", f"src/plan/a.cc:{text.count(chr(10))}: {header}")

    def test_public_headers_of_the_home_folder_stay_free_of_mpi_and_hdf5(self):
        self.write("src/output/writer.h", "#include <hdf5.h>\n")
        self.write("src/transport/transport.h", "#include <mpi.h>\n")
        self.finds("packages", "src/output/writer.h:1:", "src/transport/transport.h:1:")

    def test_tests_reach_mpi_in_their_main_and_hdf5_in_output_only(self):
        self.write("tests/support/mpi_main.cc", "#include <mpi.h>\n")
        self.write("tests/output/a_test.cc", "#include <hdf5.h>\n")
        self.passes("packages")
        self.write("tests/ring/a_test.cc", "#include <mpi.h>\n#include <hdf5.h>\n")
        self.finds("packages", "tests/ring/a_test.cc:1:", "tests/ring/a_test.cc:2:")


class Length(LintTest):
    def test_the_limit_itself_passes_and_one_more_line_does_not(self):
        self.write("src/core/a.cc", "x\n" * 300)
        self.write("tests/core/a_test.cc", "x\n" * 400)
        self.passes("length")
        self.write("src/core/a.cc", "x\n" * 301)
        self.write("kernels/a.cu", "x\n" * 301)
        self.write("jobs/a.h", "x\n" * 301)
        self.write("tests/core/a_test.cc", "x\n" * 401)
        self.finds("length", "src/core/a.cc:301:", "kernels/a.cu:301:", "jobs/a.h:301:", "tests/core/a_test.cc:401:")


class Words(LintTest):
    def test_unfinished_work_is_found_in_code_but_may_be_spoken_of_in_docs(self):
        for number, word in enumerate(("TODO", "FIXME", "XXX", "HACK")):
            self.write(f"src/core/{number}.cc", f"// {word}: later\n")
        self.write("docs/a.md", "Code holds no TODO.\n")
        self.write("jobs/a.sh", "mktemp /tmp/riverrun.XXXXXX\n")
        self.finds("words", *(f"src/core/{number}.cc:1:" for number in range(4)))

    def test_machine_paths_are_found_in_every_kind_of_file(self):
        path = "/".join(("", "home", "somebody", "riverrun"))
        for place in ("README.md", "cluster/run", "docs/a.md", "jobs/a.sh", "src/core/CMakeLists.txt"):
            with self.subTest(place=place):
                self.write(place, f"fine\ncd {path}\n")
                self.finds("words", f"{place}:2:")
                self.write(place, "fine\n")

    def test_relative_paths_and_variables_pass(self):
        self.write("README.md", "cd $HOME/work/x; ls ./work/ team/home/a ${SCRATCH}/work/\n")
        self.passes("words")

    def test_what_is_built_or_fetched_is_left_alone(self):
        for place in ("build/a.txt", "data/a.txt", "tests/golden/a.txt", ".git/a"):
            self.write(place, "/".join(("", "home", "somebody", "")))
        self.passes("words")


class Links(LintTest):
    def test_links_that_resolve_pass(self):
        self.write("docs/a.md", "# The `way` of it\n[b](b.md) [r](../README.md#where-to) [src](../src) [self](#the-way-of-it)\n"
                                "[out](https://example.org/x) [root](/docs/b.md) `[not](one)`\n```\n[nor](this)\n```\n")
        self.write("docs/b.md", "")
        self.write("README.md", "## Where to?\n[docs](docs/a.md)\n")
        self.passes("links")

    def test_missing_files_and_headings_are_found(self):
        self.write("docs/a.md", "# Here\n[x](none.md)\n\n[y](b.md#nowhere) [z](#there)\n![p](figure.png \"title\")\n")
        self.write("docs/b.md", "# Somewhere\n")
        self.write("README.md", "[docs](docs/c.md)\n")
        self.finds("links", "README.md:1:", "docs/a.md:2:", "docs/a.md:4:", "docs/a.md:4:", "docs/a.md:5:")


class Headers(LintTest):
    def test_a_header_that_stands_alone_passes(self):
        self.write("src/core/a.h", "#pragma once\n#include <vector>\nstruct A { std::vector<int> x; };\n")
        self.write("kernels/b.h", '#pragma once\n#include "core/a.h"\nstruct B { A a; };\n')
        self.passes("headers")

    def test_a_header_that_leans_on_its_users_is_found(self):
        self.write("src/core/a.h", "#pragma once\nstruct A { std::vector<int> x; };\n")
        self.finds("headers", "src/core/a.h:1: does not compile on its own")

    def test_a_header_is_left_to_the_build_only_where_its_source_includes_it_first(self):
        self.write("src/core/a.h", "#pragma once\nstruct A { std::vector<int> x; };\n")
        self.write("src/core/a.cc", '#include "core/a.h"\n#include <vector>\n')
        self.passes("headers")
        self.write("src/core/a.cc", '#include <vector>\n#include "core/a.h"\n')
        self.finds("headers", "src/core/a.h:1: does not compile on its own")

    def test_a_missing_include_guard_is_found(self):
        self.write("jobs/a.h", "struct A {};\n")
        self.finds("headers", "jobs/a.h:1:")

    def test_a_header_whose_package_is_not_installed_is_left_out_aloud(self):
        self.write("kernels/cpu/a.h", "#include <hwy/no_such_header.h>\nnonsense\n")
        self.passes("headers")
        self.assertIn("left out: kernels/cpu/a.h", self.lint("headers").stdout)


class Root(LintTest):
    def test_a_wrong_root_is_an_error_and_not_a_pass(self):
        (self.root / "src").rmdir()
        run = self.lint("words")
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("not the root", run.stderr)


if __name__ == "__main__":
    unittest.main()
