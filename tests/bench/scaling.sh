#!/usr/bin/env bash
# Measures riverrun on one machine with the King James Bible as one document: how much faster two ranks are than one,
# how time per token and memory per rank change with the length of the document, and how long its blocks take from the first to the
# last. Prints markdown tables.
#
#   tests/bench/scaling.sh [options]
#
#   --model FILE       checkpoint; default: random weights in the shape of --shape, made in build/bench
#   --shape SIZE       small (L 4, D 256, which takes minutes), or as released: 0.1b, 0.4b, ...; default small
#   --precision TYPE   of matrix products: auto, fp32 or bf16; default auto
#   --riverrun FILE    the program; default: build/release/riverrun (make_random_model is looked for beside it)
#   --tokens N         length for the comparison of one and two ranks; default 32768
#   --rounds R         how often it is repeated, one and two ranks by turns; default 3
#   --lengths "A B"    lengths for time and memory, about that many tokens each; "all" is the whole text (1.18 million);
#                      "" leaves them out; default "1000 10000 100000 all"
#   --length-ranks P   ranks of one thread that run the lengths; default 1, since a short document has too few blocks for more
#   --help
#
# Nothing else should run on the machine: the tables say how much of it others used meanwhile.
set -euo pipefail

# shellcheck source=tests/bench/inputs.sh
source "$(dirname "${BASH_SOURCE[0]}")/inputs.sh"

tokens=32768 rounds=3
lengths="1000 10000 100000 all" length_ranks=1
take_options "model shape precision riverrun tokens rounds lengths length-ranks" "$@"

find_model
find_text
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
# shellcheck disable=SC2086  # lengths are words
exec /usr/bin/python3 "$here/scaling.py" --riverrun "$riverrun" --model "$model" --text "$text" --work "$work" \
  --precision "$precision" --tokens "$tokens" --rounds "$rounds" --length-ranks "$length_ranks" --lengths $lengths
