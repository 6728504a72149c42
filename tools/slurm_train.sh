#!/usr/bin/env bash
# Train under Slurm; the ranks are started by srun.
#   [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
# Exit code 85: asked to stop by SIGTERM or SIGUSR1, and saved; start it again with --resume.
set -euo pipefail
if [ $# -lt 4 ]; then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
fi
partition=$1 job_name=$2 config=$3 work_dir=$4
shift 4
# Inside an allocation (sbatch, salloc) what was asked for is the default.
tasks=${GPUS:-${SLURM_NTASKS:-8}} per_node=${GPUS_PER_NODE:-${SLURM_NTASKS_PER_NODE:-8}}
[ "$tasks" -lt "$per_node" ] && per_node=$tasks
# GPUS_PER_NODE counts processes; without GPUs (GRES=none) they run on the CPU.
gres=(--gres="${GRES:-gpu:$per_node}")
[ "${GRES:-}" = none ] && gres=()
# Two jobs that share a node need two ports.
export MASTER_PORT=${MASTER_PORT:-$((20000 + ${SLURM_JOB_ID:-RANDOM} % 10000))}
# As torchrun has it; otherwise each task would compute on all cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# The ranks write there how they ended; what an earlier start wrote must not be taken for it.
rm -f "$work_dir/run_state.json"
# A signal to this script does not part it from srun: `scancel --signal=USR1 JOB` asks the ranks to save and stop.
trap : TERM
code=0
# shellcheck disable=SC2086 - SRUN_ARGS holds several arguments
srun --partition="$partition" --job-name="$job_name" "${gres[@]}" \
  --ntasks="$tasks" --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-${SLURM_CPUS_PER_TASK:-5}}" \
  --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  python -u "$(dirname "$0")/train.py" "$config" --work-dir="$work_dir" --launcher=slurm "$@" || code=$?
# The first rank that leaves makes srun send SIGTERM to the others, which may be about to return 85: then it is 143.
if [ "$code" -eq 143 ] && grep -qs '"preempted"' "$work_dir/run_state.json"; then
  code=85
fi
exit "$code"
