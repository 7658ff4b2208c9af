#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Sets up an environment (see setup_env.sh), then trains and evaluates a small
# AiOS: renders images of persons, computes the features of the shipped model's
# backbone once, trains all other parts on these features and evaluates.
#
#   bash tools/train_demo.sh
#
# Takes 7 to 15 minutes on two CPU cores after the setup. Writes results to
# outputs/train_demo. Can be run again: existing files are kept, and an
# interrupted training resumes. To start from scratch, remove
# outputs/train_demo and data/synthetic/train_demo.

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

OUT=outputs/train_demo
IMAGES=data/synthetic/train_demo
CONFIG=projects/free_model/train_demo.py
TRAINING=$OUT/training
STEPS=350

draw_images() { # FOLDER COUNT SEED
    "$PYTHON" tools/make_synthetic_dataset.py "$IMAGES/$1" --images "$2" \
        --seed "$3" --size 192x256 --persons 1-2 --workers 2 --resume
}

train() {
    OMP_NUM_THREADS=1 "$PYTHON" -m torch.distributed.run \
        --standalone --nproc-per-node 2 \
        projects/free_model/train_cached.py "$CONFIG" \
        --data "$IMAGES/train" --state "$TRAINING" \
        --backbone aios/weights/aios_s.safetensors \
        --decay-steps "$STEPS"
}

evaluate() {
    "$PYTHON" tools/test.py "$CONFIG" "$TRAINING/average.pth" \
        --work-dir "$OUT/evaluation" --cfg-options \
        "test_dataloader.dataset.data_root=$IMAGES/test" |
        tee "$OUT/evaluation.log"
    grep '^whole_body/' "$OUT/evaluation.log" >"$OUT/metrics.txt"
}

say 'takes 7 to 15 minutes on two CPU cores, plus 1 minute for the setup'
setup_environment
cd "$ROOT"
begin=$SECONDS
mkdir -p "$OUT"
step 'render 2400 training images with ground truth' \
    draw_images train/0 2400 0
step 'render 100 test images' draw_images test 100 3
step "train $STEPS steps on features of the shipped backbone" train
step 'evaluate on the test images' evaluate
cat "$OUT/metrics.txt"
say "$((SECONDS - begin)) s without the setup; results: $ROOT/$OUT"
