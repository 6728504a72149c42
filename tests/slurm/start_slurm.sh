#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, for tests: its own daemons, keys and ports in a fresh folder.
# Needs Debian's slurm-wlm and munge.
#   eval "$(bash tests/slurm/start_slurm.sh start)"   starts it and sets SLURM_CONF, which srun, sbatch, ... read
#   bash tests/slurm/start_slurm.sh stop              ends its jobs and daemons, and removes the folder
# SLURM_TEST_CPUS (4) is what the node claims to have, so that jobs of several tasks start on small machines, too.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

wait_until() { # SECONDS COMMAND...
  local ends=$((SECONDS + $1))
  shift
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$ends" ] || return 1
    sleep 0.1
  done
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

write_configuration() { # FOLDER
  local dir=$1 host memory
  host=$(hostname -s)
  memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  cat > "$dir/slurm.conf" <<C
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_min_interval=100000
ReturnToService=2
JobRequeue=1
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=${SLURM_TEST_CPUS:-4} RealMemory=$memory State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
C
}

start_munge() { # FOLDER
  mkdir "$1/munge"
  (umask 077 && head -c 1024 /dev/urandom > "$1/munge/key")
  munged --force --socket="$1/munge/socket" --key-file="$1/munge/key" --pid-file="$1/munged.pid" \
    --log-file="$1/munge/log" --seed-file="$1/munge/seed" --num-threads=2 > "$1/log/munged" 2>&1
}

idle() { sinfo --noheader --format=%T | grep -q idle; }

gone() { # PID
  ! kill -0 "$1"
}

kill_tasks() { # FOLDER
  local environment
  for environment in /proc/[0-9]*/environ; do
    if grep -qsz "^SLURM_CONF=$1/" "$environment" && grep -qsz "^SLURM_PROCID=" "$environment"; then
      kill -KILL "$(basename "$(dirname "$environment")")" 2>/dev/null || true
    fi
  done
}

stop() { # FOLDER
  local pids=() pid
  if [ -s "$1/slurmctld.pid" ]; then
    timeout 10 scancel --quiet --partition=test || true
    kill_tasks "$1"
    wait_until 5 eval '[ -z "$(squeue --noheader)" ]' || true
  fi
  mapfile -t pids < <(cat "$1"/{slurmd,slurmctld,munged}.pid 2>/dev/null)
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  for pid in "${pids[@]}"; do
    wait_until 10 gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
  done
  # slurmstepd, whose report nobody is left to hear.
  for pid in $(pgrep -x slurmstepd || true); do
    grep -qsz "^SLURM_CONF=$1/" "/proc/$pid/environ" && kill -KILL "$pid" 2>/dev/null || true
  done
  rm -rf "$1"
}

case ${1:-} in
start)
  dir=$(mktemp -d -t slurm-test-XXXXXX)
  chmod 755 "$dir"
  mkdir "$dir"/{state,spool,log}
  export SLURM_CONF=$dir/slurm.conf
  write_configuration "$dir"
  start_munge "$dir"
  # Into a file: a daemon that held the caller's pipe would keep it waiting.
  slurmctld -c > "$dir/log/start" 2>&1
  slurmd >> "$dir/log/start" 2>&1
  if ! wait_until 30 idle; then
    sinfo >&2 || true
    tail -n 20 "$dir"/log/* >&2 || true
    stop "$dir"
    exit 1
  fi
  echo "export SLURM_CONF=$SLURM_CONF"
  ;;
stop)
  stop "$(dirname "${SLURM_CONF:?no cluster: SLURM_CONF is not set}")"
  ;;
*)
  sed -n '2,6s/^# //p' "$0" >&2
  exit 2
  ;;
esac
