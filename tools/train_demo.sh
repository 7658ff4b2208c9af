#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Set up an environment (see setup_env.sh), then train a small AiOS and see
# what it learned: draw images of persons, compute the features of the
# shipped model's backbone once, train everything else on them, evaluate.
#
#   bash tools/train_demo.sh
#
# Takes some 15 minutes on two CPU cores after the set-up. Results:
# outputs/train_demo. Safe to run again: what was made stays, and a training
# that was interrupted goes on. To begin anew, remove outputs/train_demo and
# data/synthetic/train_demo.

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

OUT=outputs/train_demo
IMAGES=data/synthetic/train_demo
CONFIG=projects/free_model/train_demo.py
TRAINING=$OUT/training
STEPS=700

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

say 'about 15 minutes on two cores, and one for the set-up'
setup_environment
cd "$ROOT"
begin=$SECONDS
mkdir -p "$OUT"
step 'draw 2400 images of persons with exact labels' \
    draw_images train/0 2400 0
step 'draw 100 others to evaluate on' draw_images test 100 3
step "train $STEPS steps on features of the shipped backbone" train
step 'evaluate on the others' evaluate
cat "$OUT/metrics.txt"
say "$((SECONDS - begin)) s without the set-up; look at $ROOT/$OUT"
