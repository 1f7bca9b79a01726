#!/usr/bin/env bash
# How near riverrun comes to what the machine could do: prefill of one document and decoding, for models of random weights. Prints two
# markdown tables of tokens/s, and in brackets the share of the bound that `riverrun bench` measures beside it (docs/performance.md).
#
#   tests/bench/bounds.sh [options]
#
#   --models LIST      GENERATION:SHAPE[:TOKENS] ..., TOKENS of the document; default "rwkv7:0.1b:1024 rwkv7:0.4b:512 rwkv7:1.5b:256
#                      rwkv6:1.6b:256 rwkv5.1:0.4b:512 rwkv4:0.4b:512", the whole of which takes half an hour on two cores
#   --precision TYPE   of riverrun; default auto, which is bf16 where the CPU multiplies it
#   --weights TYPE     auto or int8; default auto
#   --threads "A B"    numbers of threads, a column each; default "1 2"
#   --batches "A B"    of decoding, which takes the last number of threads; "" leaves decoding out; default "1 8 64 256"
#   --rounds R         default 3
#   --riverrun FILE    the program; default: build/release/riverrun
#   --help
set -euo pipefail

# shellcheck source=tests/bench/inputs.sh
source "$(dirname "${BASH_SOURCE[0]}")/inputs.sh"

models="rwkv7:0.1b:1024 rwkv7:0.4b:512 rwkv7:1.5b:256 rwkv6:1.6b:256 rwkv5.1:0.4b:512 rwkv4:0.4b:512"
weights=auto threads="1 2" batches="1 8 64 256" rounds=3
take_options "models precision weights threads batches rounds riverrun" "$@"
find_program
[[ -n ${threads// /} ]] || fail "--threads names no number"

# bench COMMAND GENERATION SHAPE OPTIONS...: cells of a table, one for each of its results.
bench() {
  local command=$1 generation=$2 shape=$3
  shift 3
  "$riverrun" bench "$command" --generation "$generation" --shape "$shape" --precision "$precision" --weights "$weights" --rounds "$rounds" \
    --json "$@" 2>"$work/bounds.log" | python3 -c '
import json, sys
for result in json.load(sys.stdin):
    rate, share = result["tokens/s"], result["share"]
    print(f" {rate:.{0 if rate >= 100 else 1}f} ({share:.2f}) |", end="")' 2>/dev/null ||
    fail "" "this failed: riverrun bench $command --generation $generation --shape $shape --precision $precision --weights $weights $*" \
      "$(tail -3 "$work/bounds.log")"
}

# heading FIRST COLUMN...
heading() {
  printf '| %s |' "$1"
  printf ' %s |' "${@:2}"
  printf '\n|'
  printf '%0.s---|' "$@"
  printf '\n'
}

read -ra columns <<<"$threads"
last=${columns[-1]}
heading "prefill, tokens/s (share), $precision, weights $weights" tokens "${columns[@]/#/threads: }"
for model in $models; do
  IFS=: read -r generation shape tokens <<<"$model"
  [[ -n $shape ]] || fail "--models has $model, which is no GENERATION:SHAPE[:TOKENS]"
  printf '| %s %s | %s |' "$generation" "$shape" "${tokens:=512}"
  for count in "${columns[@]}"; do bench prefill "$generation" "$shape" --threads "$count" --tokens "$tokens"; done
  printf '\n'
done
[[ -n ${batches// /} ]] || exit 0
printf '\n'
read -ra columns <<<"$batches"
heading "decode, tokens/s (share), $precision, weights $weights, $last threads" "${columns[@]/#/sequences: }"
for model in $models; do
  IFS=: read -r generation shape _ <<<"$model"
  printf '| %s %s |' "$generation" "$shape"
  bench decode "$generation" "$shape" --threads "$last" --batches "$batches"
  printf '\n'
done
