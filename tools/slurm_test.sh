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
tasks=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
[ "$tasks" -lt "$per_node" ] && per_node=$tasks
gres=(--gres="${GRES:-gpu:$per_node}")
[ "${GRES:-}" = none ] && gres=()
# shellcheck disable=SC2086 - SRUN_ARGS holds several arguments
exec srun --partition="$partition" --job-name="$job_name" "${gres[@]}" \
  --ntasks="$tasks" --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" \
  --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  python -u "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher=slurm "$@"
