#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Set up an environment (see setup_env.sh), then show what the package can do:
#
#   bash tools/quickstart.sh
#
# Safe to run again: what was made stays. To begin anew, remove
# outputs/quickstart and data/synthetic/quickstart.

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

OUT=outputs/quickstart
# where configs/_base_/datasets/synthetic.py looks for them
PICTURES=data/synthetic/quickstart

# One function per step, each able to take up what an earlier run left.

make_free_body() {
    "$PYTHON" -c 'from aios.body_models import expand_free_body
print(expand_free_body())'
}

draw_pictures() {
    "$PYTHON" tools/make_synthetic_dataset.py "$PICTURES" \
        --images 24 --seed 0 --resume
}

browse_pictures() {
    # nothing new to see?
    [ "$OUT/browse/contact_sheet.jpg" -nt "$PICTURES/humandata.npz" ] ||
        "$PYTHON" tools/analysis_tools/browse_dataset.py \
            configs/_base_/datasets/synthetic.py \
            --output-dir "$OUT/browse" --overwrite
}

setup_environment
cd "$ROOT"
step 'make the free body' make_free_body
step 'draw 24 pictures of people with exact labels' draw_pictures
step 'draw the labels over the pictures' browse_pictures
say "look at: $ROOT/$OUT/browse/contact_sheet.jpg"
