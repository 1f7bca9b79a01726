# shellcheck shell=bash
# What the scripts of this folder measure with; they source it, and may set `model`, `riverrun`, `shape` and `precision`.
#
#   fail WORDS...     ends the script
#   find_inputs       sets `model` (random weights of `shape` when it is empty) and `text` (the King James text), made once in `work`

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly here root work=$root/build/bench
# shellcheck disable=SC2034  # precision: for who sources this
model='' riverrun=$root/build/release/riverrun shape=small precision=auto

fail() {
  printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2
  exit 1
}

find_inputs() {
  [[ -x $riverrun ]] || fail "there is no program $riverrun; build it: cmake --preset release && cmake --build --preset release"
  mkdir -p "$work"
  if [[ -z $model ]]; then
    model=$work/random-rwkv7-$shape.safetensors
    local sizes=(--shape "$shape")
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
}
