#!/usr/bin/env bash
# Train on several processes of this machine, or of several (NNODES, NODE_RANK, MASTER_ADDR, PORT).
#   bash tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
set -euo pipefail
if [ $# -lt 2 ]; then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
fi
config=$1 processes=$2
shift 2
# torchrun would die of SIGUSR1 and leave its processes running unless it is told to forward it.
exec torchrun \
  --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" --nproc-per-node="$processes" \
  --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" \
  --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
  "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
