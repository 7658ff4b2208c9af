#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Shared part of slurm_train.sh and slurm_test.sh:
#
#   slurm_run.sh PARTITION JOB SCRIPT ARGUMENTS

set -euo pipefail

TOOLS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
if [ "$GPUS" -lt "$GPUS_PER_NODE" ]; then
    GPUS_PER_NODE=$GPUS
fi
# SRUN_ARGS may contain several arguments.
read -r -a SRUN_ARGS <<<"${SRUN_ARGS:-}"

export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"
set -x
exec srun -p "$1" --job-name="$2" \
    --gres=gpu:"$GPUS_PER_NODE" \
    --ntasks="$GPUS" --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS[@]+"${SRUN_ARGS[@]}"} \
    "${PYTHON:-python}" -u "$TOOLS/$3" "${@:4}" --launcher slurm
