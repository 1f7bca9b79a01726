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
#   --parts "A B"      of sections, questions and documents; default all
#   --ranks P          ranks of the threads transport, of one thread each; default 2
#   --rounds R         how often each is run, by turns; the best counts; default 3
#   --help
#
# Nothing else should run on the machine.
set -euo pipefail

# shellcheck source=tests/bench/inputs.sh
source "$(dirname "${BASH_SOURCE[0]}")/inputs.sh"

bytes=500000 documents=1000 ranks=2 rounds=3 parts="sections questions documents"
take_options "model shape precision riverrun bytes documents ranks rounds parts" "$@"
[[ -s $root/data/rwkv_vocab_v20230424.txt ]] || fail "there is no World vocabulary; run cluster/install_deps.sh"

find_model
find_text
exec /usr/bin/python3 "$here/texts.py" --riverrun "$riverrun" --model "$model" --text "$text" --work "$work" --precision "$precision" \
  --bytes "$bytes" --documents "$documents" --ranks "$ranks" --rounds "$rounds" --parts "$parts"
