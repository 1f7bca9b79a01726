# shellcheck shell=bash
# What the batch scripts of this folder share; they source it. docs/cluster.md says what the variables mean.
#
#   run_job COMMAND OPTIONS...   one riverrun job on the nodes of this allocation; ends the script with its exit code
#
# Set by the user, all optional: RIVERRUN, RIVERRUN_LAUNCHER, RIVERRUN_STAGE_DIR, RIVERRUN_BIND_GPU,
# RIVERRUN_MOST_RESTARTS.

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

# A node that has died takes its ranks along, and the others end with an error, often before SLURM knows why. What is left of
# the ranks may still hold the cores.
all_nodes_answer() {
  timeout 20 srun --overlap --mpi=none --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
    --cpus-per-task=1 true 2>/dev/null
}

# Puts the job back into the queue, which ends this script.
requeue() {
  echo "${0##*/}: $1: the job goes back into the queue"
  trap '' USR1
  trap 'exit 0' TERM  # which comes when it is done
  scontrol requeue "$job" || fail "scontrol could not requeue $job"
  sleep 60 &
  wait "$!"
  fail "the job was requeued and yet goes on"
}

# What looks like a node that has died may be an error that comes again at every start.
requeue_after_failure() {
  local restarts=${SLURM_RESTART_COUNT:-0} most=${RIVERRUN_MOST_RESTARTS:-5}
  if ((restarts < most)); then requeue "$1"; fi
  echo "${0##*/}: $1, but this was start $((restarts + 1)) (RIVERRUN_MOST_RESTARTS is $most): not requeued"
}

# Waits until the ranks have ended, and sets `code` to what they ended with.
await_ranks() {
  # `wait` ends early when a signal is trapped; for a process that has ended it gives the code again and again.
  while true; do
    code=0
    wait "$ranks" || code=$?
    kill -0 "$ranks" 2>/dev/null || break
  done
  code=0
  wait "$ranks" || code=$?
}

run_job() {
  case ${1-} in
    embed | score | summarize) ;;
    *) fail "runs embed, score or summarize; start riverrun ${1-} with srun or mpirun" ;;
  esac
  arguments=("$@" --resume)
  echo "${0##*/}: job $job on $SLURM_JOB_NODELIST, start $((${SLURM_RESTART_COUNT:-0} + 1))"
  cancelled=no stopping=no ranks='' code=0
  # Before the time limit SLURM sends USR1 once, to this script alone (--signal=B:USR1); srun and mpirun both pass it on to the
  # ranks, which then write a checkpoint. With scancel, SLURM sends TERM to the ranks as well: there is nothing to pass on.
  trap 'stopping=yes; [[ -z $ranks ]] || kill -USR1 "$ranks" 2>/dev/null || true' USR1
  trap 'cancelled=yes' TERM
  [[ -z ${RIVERRUN_STAGE_DIR-} ]] || stage || fail "could not stage the model into $RIVERRUN_STAGE_DIR"
  [[ $stopping == no ]] || requeue "the time is up before the ranks have started"
  start
  # The signal may have come before `ranks` was set.
  [[ $stopping == no ]] || kill -USR1 "$ranks" 2>/dev/null || true
  await_ranks
  # 0 done, 2 wrong usage or input, 3 done but some documents failed: another start would end alike. Ranks that are told to stop
  # before they listen end with other codes than 75.
  case $code,$cancelled,$stopping in
    [023],* | *,yes,*) ;;
    75,*) requeue "stopped after a checkpoint" ;;
    *,yes) requeue "told to stop before the ranks listened" ;;
    *) all_nodes_answer || requeue_after_failure "exit code $code, and not every node answers" ;;
  esac
  exit "$code"
}
