#!/usr/bin/env bash
# Builds the fuzz targets with clang and runs each for some seconds, from its seeds and from what earlier runs have found.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]
#
# Prints a line per target: executions, executions per second, inputs kept, and what was found. The exit code is 1 when
# anything was: the input is then in build/fuzz/found/. What is kept goes to build/fuzz/corpus/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=${1-}
[[ $seconds =~ ^[0-9]+$ ]] || { echo "usage: tests/fuzz/run.sh SECONDS [TARGET...]" >&2; exit 2; }
shift
targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(ls tests/fuzz/seeds)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if ! { cmake --preset fuzz && cmake --build --preset fuzz -j "$(nproc)" --target "${targets[@]/%/_fuzz}"; } >"$scratch/build.log" 2>&1; then
  cat "$scratch/build.log" >&2
  echo "run.sh: the fuzz targets cannot be built" >&2
  exit 2
fi

[[ ! -d /dev/shm ]] || export TMPDIR=/dev/shm  # readers of files read them there
mkdir -p build/fuzz/found
code=0
printf '%-12s %12s %10s %8s  %s\n' target executions per-second inputs found
for target in "${targets[@]}"; do
  corpus=build/fuzz/corpus/$target
  mkdir -p "$corpus"
  found=nothing
  # A Zstandard frame may ask for a window of 2 GiB (zstd --long=31, as public corpora are packed); it is used as data comes.
  most=1024
  [[ $target != streams ]] || most=2200
  # Exit code 0 is libFuzzer's for a run that came to its end.
  build/fuzz/fuzz/"${target}_fuzz" -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb="$most" -timeout=20 \
    -max_len=65536 -print_final_stats=1 -verbosity=1 -artifact_prefix="build/fuzz/found/$target-" \
    "$corpus" "tests/fuzz/seeds/$target" >"$scratch/$target.log" 2>&1 || { found=$(grep -m1 -E 'ERROR|runtime error|violated' "$scratch/$target.log" || tail -1 "$scratch/$target.log"); code=1; }
  stat() { sed -nE "s/^stat::$1: +//p" "$scratch/$target.log"; }
  printf '%-12s %12s %10s %8s  %s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" "$(find "$corpus" -type f | wc -l)" "$found"
  [[ $found == nothing ]] || cp "$scratch/$target.log" "build/fuzz/found/$target.log"
done
exit $code
