#!/usr/bin/env bash
# Measures riverrun on one machine with the King James Bible as one document: how much faster two ranks are than one,
# and how time per token and memory per rank change with the length of the document. Prints markdown tables.
#
#   tests/bench/scaling.sh [options]
#
#   --model FILE       checkpoint; default: random weights in the shape of the 0.1B model, made in build/bench
#   --riverrun FILE    the program; default: build/release/riverrun (make_random_model is looked for beside it)
#   --tokens N         length for the comparison of one and two ranks; default 32768
#   --rounds R         how often it is repeated, one and two ranks by turns; default 3
#   --lengths "A B"    lengths for time and memory, about that many tokens each; "all" is the whole text (1.18 million);
#                      "" leaves them out; default "65536 262144 all"
#   --help
#
# Nothing else should run on the machine: the tables say how much of it others used meanwhile.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly here root work=$root/build/bench

fail() {
  printf 'scaling: %s\n' "$@" >&2
  exit 1
}

model='' riverrun=$root/build/release/riverrun tokens=32768 rounds=3 lengths="65536 262144 all"
while (($#)); do
  case $1 in
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --model | --riverrun | --tokens | --rounds | --lengths)
      (($# > 1)) || fail "$1 needs a value"
      printf -v "${1#--}" '%s' "$2"
      shift 2 ;;
    *) fail "unknown option $1; see --help" ;;
  esac
done
[[ -x $riverrun ]] || fail "there is no program $riverrun; build it: cmake --preset release && cmake --build --preset release"

mkdir -p "$work"
if [[ -z $model ]]; then
  model=$work/random-0.1b.safetensors
  if [[ ! -s $model ]]; then
    "$(dirname "$riverrun")/make_random_model" --seed 1 --output "$model.new" && mv "$model.new" "$model"
  fi
fi
[[ -f $model ]] || fail "there is no model $model"
text=$work/king-james.txt
if [[ ! -s $text ]]; then
  command -v bible >/dev/null || fail "the program bible is missing (package bible-kjv)"
  bible -f gen1:1-rev22:21 >"$text.new" && mv "$text.new" "$text"
fi

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
# shellcheck disable=SC2086  # lengths are words
exec /usr/bin/python3 "$here/scaling.py" --riverrun "$riverrun" --model "$model" --text "$text" --work "$work" \
  --tokens "$tokens" --rounds "$rounds" --lengths $lengths
