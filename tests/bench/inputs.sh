# shellcheck shell=bash
# What the scripts of this folder measure with; they source it, and may set `model`, `riverrun`, `shape` and `precision`.
#
#   fail LINE...              ends the script
#   take_options NAMES ...    sets the variable of every --name VALUE among the arguments, which must be one of NAMES (one string);
#                             of a name that ends in ! there is no value, and it becomes `yes`; --help prints the script's head
#   find_program              ends the script where there is no `riverrun`, and makes the folder `work`
#   find_model                sets `model`, when it is empty, to random weights of `generation` and `shape`, made once in `work`
#   find_text                 sets `text` to the King James text, made once in `work`

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly here root work=$root/build/bench
# shellcheck disable=SC2034  # precision: for who sources this
model='' riverrun=$root/build/release/riverrun generation=rwkv7 shape=small precision=auto

fail() {
  printf "$(basename "$0" .sh): %s\n" "$@" >&2
  exit 1
}

take_options() {
  local known=" $1 " name
  shift
  while (($#)); do
    if [[ $1 == --help || $1 == -h ]]; then
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
      exit 0
    fi
    name=${1#--}
    [[ $1 == --* && ($known == *" $name "* || $known == *" $name! "*) ]] || fail "unknown option $1; see --help"
    if [[ $known == *" $name! "* ]]; then
      printf -v "${name//-/_}" yes
      shift
    else
      (($# > 1)) || fail "$1 needs a value"
      printf -v "${name//-/_}" '%s' "$2"
      shift 2
    fi
  done
}

find_program() {
  [[ -x $riverrun ]] || fail "there is no program $riverrun; build it: cmake --preset release && cmake --build --preset release"
  mkdir -p "$work"
}

find_model() {
  find_program
  if [[ -z $model ]]; then
    model=$work/random-$generation-$shape.safetensors
    local sizes=(--shape "$shape")
    [[ $shape != small ]] || sizes=(--layers 4 --channels 256)
    if [[ ! -s $model ]]; then
      "$(dirname "$riverrun")/make_random_model" --seed 1 --generation "$generation" "${sizes[@]}" --output "$model.new"
      mv "$model.new" "$model"
    fi
  fi
  [[ -f $model ]] || fail "there is no model $model"
}

find_text() {
  mkdir -p "$work"
  text=$work/king-james.txt
  if [[ ! -s $text ]]; then
    command -v bible >/dev/null || fail "the program bible is missing (package bible-kjv)"
    bible -f gen1:1-rev22:21 >"$text.new" && mv "$text.new" "$text"
  fi
}
