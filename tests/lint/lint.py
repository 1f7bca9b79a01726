#!/usr/bin/env python3
"""Checks that a compiler does not make: who includes whom, file lengths, foreign words, links, headers on their own.

    tests/lint/lint.py [--root DIR] [--compiler c++] [--include DIR]... CHECK...

Prints one line "path:line: what is wrong" per finding and exits 1 when there is one. The rules are in rules.py.
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

import rules

CODE = (".h", ".hpp", ".cc", ".cpp", ".cu", ".cuh")
TEXT = CODE + (".md", ".py", ".sh", ".txt", ".cmake", ".json", ".yml", ".yaml", ".ini", ".sbatch", ".env", ".example", "")
NOT_OURS = {".git", "build", "data", "golden", "__pycache__"}


def files(root, endings, tops=("",)):
    """Paths below root/top, relative to root, sorted, whose names end so; not what is built, fetched or golden."""
    for top in tops:
        for folder, folders, names in os.walk(root / top):
            folders[:] = sorted(f for f in folders if f not in NOT_OURS)
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix in endings and not path.is_symlink():
                    yield path.relative_to(root)


def lines(root, path):
    try:
        text = (root / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    return list(enumerate(text.splitlines(), 1))


def includes(root, path):
    """(line number, '<' or '"', included path) of every include line."""
    for number, line in lines(root, path):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match[1], match[2]


def folder_of(path):
    """The folder of our own that a path, as written in an include line or relative to the root, belongs to."""
    parts = path.split("/")
    if parts[0] == "src":
        parts = parts[1:]
    return parts[0] if len(parts) > 1 else None


def check_includes(root):
    for path in files(root, CODE, ("src", "kernels", "jobs")):
        here = folder_of(path.as_posix())
        if here not in rules.MAY_INCLUDE:
            yield f"{path}:1: folder '{here}' has no line in tests/lint/rules.py"
            continue
        for number, quote, included in includes(root, path):
            there = folder_of(included)
            if there not in rules.MAY_INCLUDE:
                if quote == '"' and not any(re.fullmatch(package, included) for package in rules.HOMES):
                    yield f'{path}:{number}: "{included}" does not begin with one of our folders'
            elif there != here and there not in rules.MAY_INCLUDE[here]:
                if included not in rules.MAY_ALSO_INCLUDE.get(here, ()):
                    yield f"{path}:{number}: {here} may not include {there} ({included})"


def check_packages(root):
    for path in files(root, CODE, ("src", "kernels", "jobs", "tests")):
        for number, _, included in includes(root, path):
            for package, home in rules.HOMES.items():
                if re.fullmatch(package, included) and not re.fullmatch(home, path.as_posix()):
                    yield f"{path}:{number}: {included} may be included in {home} only"


def check_length(root):
    for top, most in rules.MOST_LINES.items():
        for path in files(root, CODE + (".py", ".sh", ".cmake"), (top,)):
            count = len(lines(root, path))
            if count > most:
                yield f"{path}:{count}: {count} lines; the most is {most}: split it by what its parts do"


def check_words(root):
    for path in files(root, TEXT):
        top = path.parts[0]
        for number, line in lines(root, path):
            for pattern in rules.FOREIGN:
                if match := re.search(pattern, line):
                    yield f"{path}:{number}: '{match[0]}' has no place in the repository"
            if top in rules.UNFINISHED_IN and (match := re.search(rules.UNFINISHED, line)):
                yield f"{path}:{number}: '{match[0]}': finish it, or say it in docs/"


def prose(root, path):
    """The lines of a Markdown file outside fenced code."""
    fenced = False
    for number, line in lines(root, path):
        if re.match(r"\s*(```|~~~)", line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(root, path):
    """The #anchors that GitHub makes of a Markdown file's headings."""
    found = set()
    for _, line in prose(root, path):
        if match := re.match(r"#+\s+(.*?)\s*#*$", line):
            name = re.sub(r"[^\w\- ]", "", match[1].lower()).replace(" ", "-")
            copies = sum(1 for other in found if re.fullmatch(re.escape(name) + r"(-\d+)?", other))
            found.add(f"{name}-{copies}" if name in found else name)
    return found


def check_links(root):
    for path in files(root, (".md",)):
        for number, line in prose(root, path):
            for target in re.findall(r"\]\(<?([^)\s>]+)[^)]*\)", re.sub(r"`[^`]*`", "", line)):
                if re.match(r"[a-z][a-z0-9+.-]*:", target):
                    continue
                name, _, anchor = target.partition("#")
                aim = root / path if not name else (root / name[1:] if name[0] == "/" else root / path.parent / name)
                if not aim.exists():
                    yield f"{path}:{number}: link to {target}: there is no such file"
                elif anchor and aim.suffix == ".md" and anchor not in anchors(root, aim.relative_to(root)):
                    yield f"{path}:{number}: link to {target}: there is no such heading"


def compile_header(root, path, compiler, packages):
    # Twice, so that a missing include guard shows too. Packages that are not installed leave their headers out.
    name = path.relative_to("src") if path.parts[0] == "src" else path
    flags = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-I", str(root / "src"), "-I", str(root),
             *(part for folder in packages for part in ("-isystem", folder)), "-x", "c++", "-"]
    absent = [included for _, _, included in includes(root, path)
              if any(re.fullmatch(package, included) for package in rules.HOMES)
              and subprocess.run([compiler, *flags], input=f"#if !__has_include(<{included}>)\n#error absent\n#endif\n",
                                 text=True, capture_output=True).returncode != 0]
    if absent:
        print(f"left out: {path} ({', '.join(absent)} not found)")
        return None
    run = subprocess.run([compiler, *flags], input=f'#include "{name}"\n#include "{name}"\n', text=True,
                         capture_output=True)
    return None if run.returncode == 0 else f"{path}:1: does not compile on its own:\n{run.stderr.rstrip()}"


def compiled_first(root, path):
    """Whether the build compiles a header before anything else: as the first include of the source of its name."""
    own = str(path.relative_to("src") if path.parts[0] == "src" else path)
    source = path.with_suffix(".cc")
    if "#pragma once" not in (root / path).read_text() or not (root / source).exists():
        return False
    return next((included for _, _, included in includes(root, source)), None) == own


def check_headers(root, compiler, packages):
    headers = [path for path in files(root, (".h", ".hpp"), ("src", "kernels", "jobs")) if not compiled_first(root, path)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for finding in pool.map(lambda path: compile_header(root, path, compiler, packages), headers):
            if finding:
                yield finding


CHECKS = {"includes": check_includes, "packages": check_packages, "length": check_length, "words": check_words,
          "links": check_links, "headers": check_headers}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--compiler", default="c++", help="for headers")
    parser.add_argument("--include", action="append", default=[], metavar="DIR", help="for headers: where packages are")
    parser.add_argument("checks", nargs="+", choices=CHECKS, metavar="CHECK", help=", ".join(CHECKS))
    arguments = parser.parse_args()
    if not (arguments.root / "src").is_dir():
        sys.exit(f"{arguments.root} holds no src/: it is not the root of the repository")
    findings = []
    for name in arguments.checks:
        extra = (arguments.compiler, arguments.include) if name == "headers" else ()
        findings += CHECKS[name](arguments.root, *extra)
    print("\n".join(findings) if findings else f"{' '.join(arguments.checks)}: nothing found")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
