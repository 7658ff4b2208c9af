#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Detects persons with the command line of the original AiOS, one process per
# GPU (without GPUs: CPU processes):
#
#   bash tools/inference.sh CHECKPOINT INPUT OUTPUT [PERSONS=1] [THRESHOLD=0.3] [PROCESSES=1] [options]
#
# INPUT is a video, an image, a folder or a quoted pattern. OUTPUT is the folder
# for the results. PERSONS is the maximum number of persons per image. The
# options are those of demo/video_demo.py. The config is read from the
# checkpoint (published checkpoint: aios_r50); CONFIG sets another one:
#
#   CONFIG=my_config.py bash tools/inference.sh my.pth dance.mp4 results 5 0.3 8

set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

number() { # TEXT
    [[ $1 =~ ^[0-9]*\.?[0-9]+$ ]]
}

usage() {
    grep -m 1 -o 'bash tools/.*' "${BASH_SOURCE[0]}" >&2
    exit 2
}

[ $# -ge 3 ] || usage
CHECKPOINT=$1
INPUT=$2
OUTPUT=$3
shift 3
NUMBERS=(1 0.3 1)
for I in 0 1 2; do
    [[ ${1:---} != --* ]] || break
    number "$1" || usage
    NUMBERS[I]=$1
    shift
done
PROCESSES=${NUMBERS[2]}
[[ ${NUMBERS[0]} =~ ^[1-9][0-9]*$ && $PROCESSES =~ ^[1-9][0-9]*$ ]] || usage

RUN=("${PYTHON:-python}")
OPTIONS=(
    "$INPUT" ${CONFIG:+"$CONFIG"} "$CHECKPOINT" --out-dir "$OUTPUT"
    --max-persons "${NUMBERS[0]}" --score-thr "${NUMBERS[1]}" --save-mesh obj
)
if [ "$PROCESSES" -gt 1 ]; then
    RUN+=(-m torch.distributed.run --standalone --nproc-per-node="$PROCESSES")
    OPTIONS+=(--launcher pytorch)
fi
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
exec "${RUN[@]}" "$ROOT/demo/video_demo.py" "${OPTIONS[@]}" "$@"
