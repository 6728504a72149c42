#!/usr/bin/env bash
# Train on several processes of this machine, or of several (NNODES, NODE_RANK, MASTER_ADDR, PORT).
#   bash tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
# Exit code 85: asked to stop by SIGTERM or SIGUSR1, and saved; start it again with --resume.
set -euo pipefail
if [ $# -lt 2 ]; then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
fi
config=$1 processes=$2
shift 2
# Whatever its processes return, torchrun returns 1: they write here how they ended.
CLIPPLUS_RUN_STATE=$(mktemp)
export CLIPPLUS_RUN_STATE
trap 'rm -f "$CLIPPLUS_RUN_STATE"' EXIT
# In a process group of its own torchrun gets each signal once, from this script.
set -m
# torchrun would die of SIGUSR1 and leave its processes running unless it is told to forward it.
torchrun \
  --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" --nproc-per-node="$processes" \
  --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" \
  --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
  "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@" &
launcher=$!
for name in TERM INT HUP QUIT USR1; do
  # shellcheck disable=SC2064  # the name of now
  trap "kill -s $name $launcher 2>/dev/null || true" "$name"
done
# A signal ends `wait`, not what is waited for.
while kill -0 "$launcher" 2>/dev/null; do
  wait "$launcher" || true
done
code=0
wait "$launcher" || code=$?
if [ "$code" -ne 0 ] && grep -q '"preempted"' "$CLIPPLUS_RUN_STATE"; then
  code=85
fi
exit "$code"
