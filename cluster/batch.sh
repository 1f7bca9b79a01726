# shellcheck shell=bash
# What the batch scripts of this folder share; they source it. docs/cluster.md says what the variables mean.
#
#   run_job COMMAND OPTIONS...   one riverrun job on the nodes of this allocation; ends the script with its exit code
#
# Set by the user, all optional: RIVERRUN, RIVERRUN_LAUNCHER, RIVERRUN_STAGE_DIR, RIVERRUN_BIND_GPU.

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# The program and this folder, which a batch script cannot find by its own place: SLURM runs a copy of it.
riverrun=${RIVERRUN:-riverrun}
cluster=$RIVERRUN_CLUSTER
command -v "$riverrun" >/dev/null || fail "there is no program $riverrun; put riverrun into PATH or its path into RIVERRUN"

# Idle ranks give way to working ones; without it, MPI wakes late wherever ranks share a core.
export OMPI_MCA_mpi_yield_when_idle=1
# srun takes --cpus-per-task from sbatch only under this name; mpirun is told in words.
mpirun_cores=()
if [[ -n ${SLURM_CPUS_PER_TASK-} ]]; then
  export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
  mpirun_cores=(--map-by "slot:PE=$SLURM_CPUS_PER_TASK" --bind-to core)
fi

# What scontrol calls this job. Of an array, SLURM_JOB_ID alone can mean the whole array.
job=$SLURM_JOB_ID
[[ -z ${SLURM_ARRAY_TASK_ID-} ]] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID

# option_value NAME SHORT WORD...: sets `value` to what the option has among the words, `value_at` to its place.
option_value() {
  local name=$1 short=$2 at=0 word
  shift 2
  value='' value_at=-1
  for word in "$@"; do
    case $word in
      "$name="*) value=${word#*=} value_at=$at ;;
      "$name" | "$short") value_at=$((at + 1)) ;;
      *) ((value_at != at)) || value=$word ;;
    esac
    at=$((at + 1))
  done
  [[ -n $value ]] || fail "say $name on the command line of this script"
}

# set_option NAME SHORT VALUE: replaces it in `arguments`.
set_option() {
  option_value "$1" "$2" "${arguments[@]}"
  if [[ ${arguments[value_at]} == "$1="* ]]; then arguments[value_at]=$1=$3; else arguments[value_at]=$3; fi
}

# Puts the model on every node's own disk, once per node, and has `arguments` name it there.
stage() {
  option_value --model -m "${arguments[@]}"
  local staged
  staged=$(srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task=1 \
    "$cluster/stage_model.sh" "$value" "$RIVERRUN_STAGE_DIR" | sort -u) || return
  [[ -n $staged && $staged != *$'\n'* ]] || fail "the nodes named the staged model differently: $staged"
  set_option --model -m "$staged"
}

# Starts the ranks, and sets `ranks` to the process that a signal for all of them goes to.
start() {
  local bind=()
  [[ -z ${RIVERRUN_BIND_GPU-} ]] || bind=("$cluster/bind_gpu.sh")
  case ${RIVERRUN_LAUNCHER:-srun} in
    srun) srun --mpi=pmix --kill-on-bad-exit=0 "${bind[@]}" "$riverrun" "${arguments[@]}" & ;;
    mpirun) mpirun -n "$SLURM_NTASKS" "${mpirun_cores[@]}" "${bind[@]}" "$riverrun" "${arguments[@]}" & ;;
    *) fail "RIVERRUN_LAUNCHER '$RIVERRUN_LAUNCHER' is neither srun nor mpirun" ;;
  esac
  ranks=$!
}

# A node that has died takes its ranks along, and the others end with an error, often before SLURM knows why.
all_nodes_answer() {
  timeout 20 srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task=1 true 2>/dev/null
}

# Puts the job back into the queue, which ends this script.
requeue() {
  echo "${0##*/}: $1: the job goes back into the queue"
  scontrol requeue "$job" || fail "scontrol could not requeue $job"
  sleep 60
  fail "the job was requeued and yet goes on"
}

run_job() {
  arguments=("$@" --resume)
  echo "${0##*/}: job $job on $SLURM_JOB_NODELIST, start $((${SLURM_RESTART_COUNT:-0} + 1))"
  cancelled=no ranks=
  # Before the time limit SLURM sends USR1 to this script alone (--signal=B:USR1); srun and mpirun both pass it on to the
  # ranks, which then write a checkpoint. With scancel, SLURM sends TERM to the ranks as well: there is nothing to pass on.
  trap '[[ -z $ranks ]] || kill -USR1 "$ranks" 2>/dev/null' USR1
  trap 'cancelled=yes' TERM
  [[ -z ${RIVERRUN_STAGE_DIR-} ]] || stage || fail "could not stage the model into $RIVERRUN_STAGE_DIR"
  start
  # `wait` ends early when a signal is trapped.
  local code=0
  while kill -0 "$ranks" 2>/dev/null; do
    code=0
    wait "$ranks" || code=$?
  done
  # 0 done, 2 wrong usage or input, 3 done but some documents failed: another start would end alike.
  case $code in
    0 | 2 | 3) ;;
    75) [[ $cancelled == yes ]] || requeue "stopped after a checkpoint" ;;
    *) [[ $cancelled == yes ]] || all_nodes_answer || requeue "exit code $code, and not every node answers" ;;
  esac
  exit "$code"
}
