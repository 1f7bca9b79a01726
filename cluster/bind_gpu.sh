#!/usr/bin/env bash
# bind_gpu.sh PROGRAM ARGUMENTS...: runs the program with the one GPU that this rank has among those of its node.
set -euo pipefail

# Open MPI's own number first: under mpirun, SLURM_LOCALID is that of the daemon which started the rank.
rank=${OMPI_COMM_WORLD_LOCAL_RANK:-${SLURM_LOCALID:-0}}
if [[ -n ${CUDA_VISIBLE_DEVICES-} ]]; then
  IFS=, read -ra devices <<<"$CUDA_VISIBLE_DEVICES"
else
  listed=$(nvidia-smi --query-gpu=uuid --format=csv,noheader) || listed=''
  mapfile -t devices < <(grep '^GPU-' <<<"$listed" || true)
fi
if ((${#devices[@]} == 0)); then
  echo "bind_gpu.sh: $(hostname): there is no GPU for rank $rank of this node" >&2
  exit 2
fi
export CUDA_VISIBLE_DEVICES=${devices[rank % ${#devices[@]}]}
exec "$@"
