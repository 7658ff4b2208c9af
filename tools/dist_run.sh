#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Shared part of dist_train.sh and dist_test.sh:
#
#   dist_run.sh SCRIPT NUMBER_OF_ITS_ARGUMENTS ARGUMENTS PROCESSES [options]

set -euo pipefail

TOOLS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
SCRIPT=$1
COUNT=$2
shift 2

if [ $# -le "$COUNT" ] || ! [[ ${*:COUNT + 1:1} =~ ^[1-9][0-9]*$ ]]; then
    # The usage is in the header of the calling script.
    grep -m 1 -o 'bash tools/.*' "$TOOLS/dist_${SCRIPT%.py}.sh" >&2
    exit 2
fi

if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
    WHERE=(--standalone)
else
    WHERE=(
        --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}"
        --master-addr="${MASTER_ADDR:-127.0.0.1}"
        --master-port="${PORT:-29500}"
    )
fi

export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"
# torchrun of this Python, not of another one in PATH
exec "${PYTHON:-python}" -m torch.distributed.run "${WHERE[@]}" \
    --nproc-per-node="${*:COUNT + 1:1}" \
    "$TOOLS/$SCRIPT" "${@:1:COUNT}" --launcher pytorch "${@:COUNT + 2}"
