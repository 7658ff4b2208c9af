#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Set up an environment (see setup_env.sh), then do the whole work of this
# package in small: make a body and pictures of people, train, evaluate, look.
#
#   bash tools/quickstart.sh      about a quarter of an hour on two cores
#
# Nothing is downloaded but packages, and the network starts from random
# weights. Results: outputs/quickstart. Safe to run again: what was made
# stays, and a training that was interrupted goes on. To begin anew, remove
# outputs/quickstart and data/synthetic/quickstart.

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

OUT=outputs/quickstart
CONFIG=configs/aios/aios_nano_2xb16_quickstart.py
# where the config looks for them
PICTURES=data/synthetic/quickstart
TRAINING=$OUT/training
STEPS=1000
CHECKPOINT=$TRAINING/iter_$STEPS.pth

# One function per step, each able to take up what an earlier run left.

make_free_body() {
    "$PYTHON" -c 'from aios.body_models import expand_free_body
print(expand_free_body())'
}

draw_pictures() { # NAME COUNT SEED
    "$PYTHON" tools/make_synthetic_dataset.py "$PICTURES/$1" --images "$2" \
        --seed "$3" --size 192x256 --people 1-2 --workers 2 --resume
}

browse_pictures() {
    # nothing new to see?
    [ "$OUT/browse/contact_sheet.jpg" -nt "$PICTURES/val/humandata.npz" ] ||
        "$PYTHON" tools/analysis_tools/browse_dataset.py "$CONFIG" \
            --output-dir "$OUT/browse" --phase val --number 24 --overwrite
}

train() { # two processes of one thread: twice as fast as one of two threads
    # half a file, of a full disk, is no result
    { [ -e "$CHECKPOINT" ] && "$PYTHON" -m zipfile -t "$CHECKPOINT"; } ||
        PYTHON="$PYTHON" OMP_NUM_THREADS=1 \
            bash tools/dist_train.sh "$CONFIG" 2 \
            --work-dir "$TRAINING" --resume
}

learning_curve() { # what the validations during training found
    "$PYTHON" - "$TRAINING" >"$OUT/learning_curve.txt" <<'PY'
import json
import sys
from pathlib import Path

names = 'precision recall AP MPJPE-all gain-all gain-body'.split()
print('step', *names, sep='\t')
rows = {}
for path in sorted(Path(sys.argv[1]).glob('*/vis_data/scalars.json')):
    for record in map(json.loads, path.read_text().splitlines()):
        if 'whole_body/AP' in record:
            rows[record['step']] = record
for step, record in sorted(rows.items()):
    cells = [record.get(f'whole_body/{name}', float('nan')) for name in names]
    print(step, *(f'{cell:.3f}' for cell in cells), sep='\t')
PY
}

evaluate() {
    "$PYTHON" tools/test.py "$CONFIG" "$CHECKPOINT" \
        --work-dir "$OUT/evaluation" | tee "$OUT/evaluation.log"
    grep '^whole_body/' "$OUT/evaluation.log" >"$OUT/metrics.txt"
}

predict() { # NAME SOURCE
    # an earlier run may have found more people
    rm -rf "${OUT:?}/$1"
    "$PYTHON" demo/image_demo.py "$2" "$CONFIG" "$CHECKPOINT" \
        --out-dir "$OUT/$1"
}

photograph() { # a picture of Eileen Collins by NASA, in the public domain
    "$PYTHON" -c 'from pathlib import Path
import skimage
print(Path(skimage.__file__).with_name("data") / "astronaut.png")'
}

# Threads that wait without work should leave the core to the data loader.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}

say 'about 15 minutes on two cores, and one for the set-up'
setup_environment
cd "$ROOT"
begin=$SECONDS
step 'make the free body' make_free_body
step 'draw 3200 pictures of people with exact labels' \
    draw_pictures train 3200 0
step 'draw 60 others to watch it learn' draw_pictures val 60 1
step 'draw 100 others to evaluate on' draw_pictures test 100 3
step 'draw the labels over the pictures' browse_pictures
step "train $STEPS steps from random weights" train
step 'evaluate on the others' evaluate
step 'tell how it learned' learning_curve
step 'predict on synthetic pictures' predict synthetic "$PICTURES/test/images"
step 'predict on a photograph' predict photograph "$(photograph)"
cat "$OUT/learning_curve.txt" "$OUT/metrics.txt"
say "$((SECONDS - begin)) s without the set-up; look at $ROOT/$OUT"
