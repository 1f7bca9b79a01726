"""What tests/lint checks, as tables. docs/architecture.md says the same in words."""

# folder -> the folders it may include besides itself. A folder is its path below src/, or kernels, or jobs.
ALL = ("core", "text", "checkpoint", "kernels", "model", "plan", "transport", "ring", "generate", "output")
MAY_INCLUDE = {
    "core": (),
    "text": ("core",),
    "checkpoint": ("core",),
    "kernels": ("core",),
    "plan": ("core",),
    "transport": ("core",),
    "output": ("core",),
    "model": ("kernels", "checkpoint", "core"),
    "generate": ("model", "kernels", "core"),
    "ring": ("plan", "model", "transport", "core"),
    "jobs": ALL,
}
# Single headers beyond that: segments are part of the model's interface, which the ring calls.
MAY_ALSO_INCLUDE = {"ring": ("kernels/segment.h",)}

# A package's headers (regular expression on the include path) -> the only files that may include them (likewise).
# Whoever else needs the package goes through the folder that is its home.
HOMES = {
    r"mpi\.h": r"src/transport/mpi[^/]*|tests/.*main[^/]*\.cc",
    r"nccl\.h": r"(src/transport/nccl|tests/support/nccl_emulator/)[^/]*",
    r"cuda[^/]*\.h|cublas[^/]*\.h|mma\.h|cub/.*|cooperative_groups.*": r"kernels/cuda/.*|src/core/.*",
    r"hdf5[^/]*\.h|H5.*\.h": r"src/output/[^/]*\.cc|tests/output/.*",
    r"boost/.*": r"(jobs|tests/support/cuda_emulator)/.*",
    r"oneapi/.*|dnnl.*": r"(kernels/cpu|tests/bench)/.*",
    r"hwy/.*": r"(kernels/cpu|tests/kernels)/.*",
    r"simdjson.*": r"src/text/.*",
    r"unicode/.*": r"src/text/.*",
    r"zlib\.h|zstd\.h": r"(src|tests)/text/.*",
    r"openssl/.*": r"jobs/run/.*",
    r"nlohmann/.*": r"(src/(checkpoint|output)|jobs)/.*|src/core/trace[^/]*|tests/.*",
    r"gtest/.*|gmock/.*": r"tests/.*",
    r"benchmark/.*": r"tests/.*|jobs/.*",
}

# Lines per code file, by top folder.
MOST_LINES = {"src": 300, "kernels": 300, "jobs": 300, "tests": 400}

# Unfinished work is an entry in docs/ or a failing test, not a word in the code.
UNFINISHED = r"\b(TODO|FIXME|XXX|HACK)\b"
UNFINISHED_IN = ("src", "kernels", "jobs")

# Paths of one machine, and talk about how a text came to be. (Brackets keep the patterns from finding themselves.)
FOREIGN = (
    r"(?<![\w.$}-])/(wor[k]|far[m]|hom[e]/\w|User[s]/\w|roo[t]/)",
    r"/tm[p]/(build|bash)|/\.librar[y]\b",
    r"\b(sand[b]ox|this sessio[n]|the brie[f] (says|asks)|can_star[t]_another)\b",
    r"(?i)\bas an (ai|language mode[l])\b",
)
