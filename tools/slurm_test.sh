#!/usr/bin/env bash
# Test under Slurm.
#   [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
set -euo pipefail
if [ $# -lt 4 ]; then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
fi
partition=$1 job_name=$2 config=$3 checkpoint=$4
shift 4
# Inside an allocation (sbatch, salloc) what was asked for is the default.
tasks=${GPUS:-${SLURM_NTASKS:-8}} per_node=${GPUS_PER_NODE:-${SLURM_NTASKS_PER_NODE:-8}}
[ "$tasks" -lt "$per_node" ] && per_node=$tasks
gres=(--gres="${GRES:-gpu:$per_node}")
[ "${GRES:-}" = none ] && gres=()
# Two jobs that share a node need two ports.
export MASTER_PORT=${MASTER_PORT:-$((20000 + ${SLURM_JOB_ID:-RANDOM} % 10000))}
# As torchrun has it; otherwise each task would compute on all cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# shellcheck disable=SC2086 - SRUN_ARGS holds several arguments
exec srun --partition="$partition" --job-name="$job_name" "${gres[@]}" \
  --ntasks="$tasks" --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-${SLURM_CPUS_PER_TASK:-5}}" \
  --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  python -u "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher=slurm "$@"
