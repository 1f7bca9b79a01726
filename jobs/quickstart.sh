#!/usr/bin/env bash
# From a fresh clone to a first result: installs packages, builds riverrun, runs it under mpirun over a real long text,
# the King James Bible (1.18 million tokens as one document), and says where to look.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: jobs/quickstart.sh [--help]

Does what is still to be done of:
  1. packages and the World vocabulary (cluster/install_deps.sh; Debian 12 or Ubuntu 24.04, as root or with sudo)
  2. a release build of `riverrun` and `make_random_model` in build/release
  3. in build/quickstart: the King James Bible as one document, the Gospel of John as another, and a small model
and then runs `riverrun embed` over the first and `riverrun score` over the second, on two MPI ranks.

Environment:
  QUICKSTART_MODEL=FILE   use this RWKV-7 checkpoint (.pth or .safetensors) instead of a small one with random weights
  QUICKSTART_RANKS=P      ranks to start, 2 unless said otherwise
TEXT
}

fail() {
  printf 'quickstart: %s\n' "$@" >&2
  exit 1
}

say() { printf '\n== %s\n' "$*"; }

case "$# ${1-}" in
  "0 ") ;;
  "1 --help" | "1 -h") usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
ranks=${QUICKSTART_RANKS:-2}
[[ $ranks =~ ^[1-9][0-9]{0,3}$ ]] || fail "QUICKSTART_RANKS is '$ranks', which is not a number of ranks"
real_model=${QUICKSTART_MODEL:+$(realpath -m -- "$QUICKSTART_MODEL")}
[[ -z $real_model || -f $real_model ]] || fail "QUICKSTART_MODEL names $real_model, which is not a file"

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly bin=build/release out=build/quickstart

# What lets Open MPI run as root, and run more ranks than there are cores without each of them spinning.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1

run() {
  printf '$ %s\n' "$*"
  "$@" || fail "this failed with exit code $?: $*" "its own message is above"
}

# The text of a passage, one verse a line.
write_passage() {
  local passage=$1 file=$2
  [[ -s $file ]] && return
  bible -f "$passage" >"$file.new" || fail "the program bible (package bible-kjv) could not write $passage"
  mv "$file.new" "$file"
}

say "packages"
cluster/install_deps.sh

say "build"
mkdir -p "$out"
cmake --preset release >$out/configure.log || fail "configuring failed; see the messages above and $out/configure.log"
# A compiler can take a gigabyte: no more of them than there is memory for.
memory_gib=$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo)
jobs=$(nproc)
((jobs <= memory_gib)) || jobs=$((memory_gib > 1 ? memory_gib : 1))
cmake --build --preset release -j "$jobs" --target riverrun make_random_model ||
  fail "the build failed; see the messages above"
[[ -x $bin/riverrun && -x $bin/make_random_model ]] || fail "the build has left out riverrun; see $out/configure.log"

say "the documents and the model"
write_passage gen1:1-rev22:21 "$out/king-james.txt"
write_passage john1:1-john21:25 "$out/john.txt"
if [[ -n $real_model ]]; then
  model=$real_model
else
  model=$out/random-4x256.safetensors
  if [[ ! -s $model ]]; then
    run $bin/make_random_model --seed 1 --layers 4 --channels 256 --rank-decay 32 --rank-rate 32 --rank-value 32 \
      --rank-gate 64 --output "$model.new"
    mv "$model.new" "$model"
  fi
fi
run $bin/riverrun inspect "$model"

# A model without a vocabulary beside it uses the one that install_deps.sh has put into data/.
common=(--model "$model" --overwrite)
launch=(mpirun -n "$ranks" --bind-to none "$bin/riverrun")
say "one vector for the whole Bible, and one per 4096 tokens"
run "${launch[@]}" embed "${common[@]}" --input $out/king-james.txt --window 4096 --output $out/king-james.h5
say "the log-probability of every token of John"
run "${launch[@]}" score "${common[@]}" --input $out/john.txt --output $out/john.h5

say "what was made"
run h5ls -r $out/king-james.h5
run h5ls -r $out/john.h5
cat <<TEXT

$out/king-james.h5   /embeddings: one vector for the whole text
                                 /windows/embedding: one per 4096 tokens, each with all the text before it in mind
$out/john.h5         /scores/logprob: natural-log probability of each token given all before it

Look at them:
  h5ls -r $out/king-james.h5
  $bin/riverrun inspect $out/king-james.h5
  /usr/bin/python3 -c '
import h5py
with h5py.File("$out/king-james.h5") as f: print(f["windows/embedding"].shape, f["windows/embedding"][0, :4])
with h5py.File("$out/john.h5") as f: print("mean log-probability", f["scores/logprob"][:].mean())'

TEXT
if [[ -n $real_model ]]; then
  echo "The model is $real_model."
else
  cat <<TEXT
The model's weights are RANDOM. It has learnt nothing, and these numbers mean nothing: they only show that the
program works here. Numbers with a meaning come from a real checkpoint of RWKV-7:
  QUICKSTART_MODEL=path/to/rwkv7-model.pth jobs/quickstart.sh        or        riverrun embed --model path/to/...
TEXT
fi
