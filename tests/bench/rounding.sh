#!/usr/bin/env bash
# Measures what rounded weights cost a trained model on real text: bits per byte of the Gospel of John in the King James text, with
# weights and products in fp32, with bf16 products and with int8 weights. Prints a markdown table.
#
#   tests/bench/rounding.sh [options]
#
#   --model FILE        a checkpoint; default: a small RWKV-7 over bytes, trained here on the rest of that Bible (train_bytes.py)
#   --minutes M         of training; default 25. More bytes are read the faster the machine is, so that bits per byte differ
#   --threads T         default 2
#   --riverrun FILE     the program; default: build/release/riverrun
#   --help
#
# torch and h5py are taken from build/peers, as compare.sh installs them.
set -euo pipefail

# shellcheck source=tests/bench/inputs.sh
source "$(dirname "${BASH_SOURCE[0]}")/inputs.sh"

readonly python=$root/build/peers/venv/bin/python
minutes=25 threads=2
take_options "model minutes threads riverrun" "$@"
[[ -x $python ]] || fail "there is no $python; run tests/bench/compare.sh --prepare --peers rwkv"
find_program
command -v bible >/dev/null || fail "the program bible is missing (package bible-kjv)"

bible -f john1:1-john21:25 >"$work/john.txt"
tokenizer=()
if [[ -z $model ]]; then
  model=$work/bytes.safetensors
  tokenizer=(--tokenizer "$work/bytes.txt")
  if [[ ! -s $model ]]; then
    { bible -f gen1:1-luke24:53 && bible -f acts1:1-rev22:21; } >"$work/without-john.txt"
    "$python" "$here/train_bytes.py" "$work/without-john.txt" "$model.new" "$work/bytes.txt" --minutes "$minutes" >&2
    mv "$model.new" "$model"
  fi
fi
for kind in fp32:auto bf16:auto fp32:int8; do
  "$riverrun" score --model "$model" "${tokenizer[@]}" --input "$work/john.txt" --output "$work/john-${kind/:/-}.h5" --overwrite \
    --start-token 0 --precision "${kind%:*}" --weights "${kind#*:}" --threads "$threads" --log-level warning --progress none
done
exec "$python" "$here/rounding.py" "$work/john.txt" "$work"/john-{fp32-auto,bf16-auto,fp32-int8}.h5
