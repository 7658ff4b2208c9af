#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Evaluates a model on a Slurm cluster:
#
#   GPUS=8 bash tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [options]
#
# Variables (defaults): GPUS in total (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5),
# SRUN_ARGS (none).

set -euo pipefail

if [ $# -lt 4 ]; then
    sed -n 's/^#   \(GPUS=8.*\)/\1/p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi

exec bash "$(dirname "${BASH_SOURCE[0]}")/slurm_run.sh" "$1" "$2" \
    test.py "${@:3}"
