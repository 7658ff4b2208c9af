#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Trains a model on a Slurm cluster:
#
#   GPUS=16 bash tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [options]
#
# Variables (defaults): GPUS in total (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5),
# SRUN_ARGS (none).

set -euo pipefail

if [ $# -lt 4 ]; then
    sed -n 's/^#   \(GPUS=16.*\)/\1/p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi

exec bash "$(dirname "${BASH_SOURCE[0]}")/slurm_run.sh" "$1" "$2" \
    train.py "$3" --work-dir "$4" "${@:5}"
