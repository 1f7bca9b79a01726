#!/usr/bin/env bash
# Measures what texts cost beside reading: sections of a long text against reading it alone, questions to documents of any
# length, and the decode rate of many short documents against `riverrun bench decode`. Prints markdown tables.
#
#   tests/bench/texts.sh [options]
#
#   --model FILE       checkpoint; default: random weights in the shape of --shape, made in build/bench
#   --shape SIZE       small (L 4, D 256, which takes minutes), or as released: 0.1b, 0.4b, ...; default small
#   --precision TYPE   of matrix products: auto, fp32 or bf16; default auto
#   --riverrun FILE    the program; default: build/release/riverrun (make_random_model is looked for beside it)
#   --bytes N          of the King James text that is read for the sections; default 500000
#   --documents N      short documents; default 1000
#   --ranks P          ranks of the threads transport, of one thread each; default 2
#   --rounds R         how often each is run, by turns; the best counts; default 3
#   --help
#
# Nothing else should run on the machine.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly here root work=$root/build/bench

fail() {
  printf 'texts: %s\n' "$@" >&2
  exit 1
}

model='' riverrun=$root/build/release/riverrun shape=small precision=auto bytes=500000 documents=1000 ranks=2 rounds=3
while (($#)); do
  case $1 in
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --model | --shape | --precision | --riverrun | --bytes | --documents | --ranks | --rounds)
      (($# > 1)) || fail "$1 needs a value"
      printf -v "${1#--}" '%s' "$2"
      shift 2 ;;
    *) fail "unknown option $1; see --help" ;;
  esac
done
[[ -x $riverrun ]] || fail "there is no program $riverrun; build it: cmake --preset release && cmake --build --preset release"
[[ -s $root/data/rwkv_vocab_v20230424.txt ]] || fail "there is no World vocabulary; run cluster/install_deps.sh"

mkdir -p "$work"
if [[ -z $model ]]; then
  model=$work/random-rwkv7-$shape.safetensors
  sizes=(--shape "$shape")
  [[ $shape != small ]] || sizes=(--layers 4 --channels 256)
  if [[ ! -s $model ]]; then
    "$(dirname "$riverrun")/make_random_model" --seed 1 "${sizes[@]}" --output "$model.new"
    mv "$model.new" "$model"
  fi
fi
[[ -f $model ]] || fail "there is no model $model"
text=$work/king-james.txt
if [[ ! -s $text ]]; then
  command -v bible >/dev/null || fail "the program bible is missing (package bible-kjv)"
  bible -f gen1:1-rev22:21 >"$text.new" && mv "$text.new" "$text"
fi
exec /usr/bin/python3 "$here/texts.py" --riverrun "$riverrun" --model "$model" --text "$text" --work "$work" --precision "$precision" \
  --bytes "$bytes" --documents "$documents" --ranks "$ranks" --rounds "$rounds"
