#!/usr/bin/env bash
# Splits a corpus over a job array and joins the outputs:
#   cluster/submit_array.sh SHARDS[%AT_ONCE] COMMAND --model M --input CORPUS --output FILE ...
#
# Task I writes FILE.shard-I-of-SHARDS; then one job merges these into FILE. Prints the numbers of both jobs. sbatch takes
# what else it should know (partition, account, time limit) from SBATCH_... variables.
set -euo pipefail

if (($# < 2)) || [[ ! $1 =~ ^([1-9][0-9]*)(%[1-9][0-9]*)?$ ]]; then
  echo "usage: cluster/submit_array.sh SHARDS[%AT_ONCE] COMMAND --model M --input CORPUS --output FILE ..." >&2
  exit 2
fi
export RIVERRUN_SHARDS=${BASH_REMATCH[1]}
at_once=${BASH_REMATCH[2]}
shift
RIVERRUN_CLUSTER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export RIVERRUN_CLUSTER

array=$(sbatch --parsable --array="1-$RIVERRUN_SHARDS$at_once" "$RIVERRUN_CLUSTER/array.sbatch" "$@")
# After all tasks, however they ended: a shard that is missing or unfinished is for merge to name.
if ! merge=$(sbatch --parsable --dependency="afterany:$array" "$RIVERRUN_CLUSTER/merge.sbatch" "$@"); then
  echo "submit_array.sh: the array is job $array, but its merge could not be submitted; merge by hand when it has ended" >&2
  exit 1
fi
echo "$array $merge"
