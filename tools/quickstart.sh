#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Sets up an environment (see setup_env.sh), then runs the model included in
# the package on two photographs that other packages contain and on a short
# synthetic video with ground truth.
#
#   bash tools/quickstart.sh
#
# Takes 1 to 3 minutes on two CPU cores after the setup. Downloads packages
# only. Writes results to outputs/quickstart. Can be run again.

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

OUT=outputs/quickstart
VIDEO=data/synthetic/quickstart_video
CLIP=$VIDEO/videos/sequence_0000.mp4
WEIGHTS=aios/weights/aios_s.safetensors

make_free_body() {
    "$PYTHON" -c 'from aios.body_models import expand_free_body
print(expand_free_body())'
}

draw_video() {
    "$PYTHON" tools/make_synthetic_dataset.py "$VIDEO" --sequences 1 \
        --video 30 --mp4 --size 320x240 --persons 2-2 --seed 3 --resume
}

photographs() { # Eileen Collins and Grace Hopper, both in the public domain
    rm -rf "${OUT:?}/photographs" "$OUT/found"
    mkdir -p "$OUT/photographs"
    "$PYTHON" - "$OUT/photographs" <<'PY'
import shutil
import sys
from pathlib import Path

import matplotlib
import skimage

samples = Path(matplotlib.get_data_path(), 'sample_data')
shutil.copy(samples / 'grace_hopper.jpg', sys.argv[1])
shutil.copy(Path(skimage.__file__).with_name('data') / 'astronaut.png', sys.argv[1])
PY
    "$PYTHON" demo/image_demo.py "$OUT/photographs" --out-dir "$OUT/found"
}

follow() {
    rm -rf "${OUT:?}/video"
    "$PYTHON" demo/video_demo.py "$CLIP" --out-dir "$OUT/video" \
        --track --smooth --save-glb
}

view() {
    "$PYTHON" tools/make_viewer.py "$OUT/video" --source "$CLIP" --overwrite
}

evaluate() {
    "$PYTHON" tools/test.py projects/free_model/aios_s_synthetic.py \
        "$WEIGHTS" --work-dir "$OUT/evaluation" --cfg-options \
        "test_dataloader.dataset.data_root=$VIDEO" | tee "$OUT/evaluation.log"
    grep '^whole_body/' "$OUT/evaluation.log" >"$OUT/metrics.txt"
}

say 'takes 1 to 3 minutes on two CPU cores, plus 1 minute for the setup'
setup_environment
cd "$ROOT"
begin=$SECONDS
mkdir -p "$OUT"
step 'generate the free body' make_free_body
step 'detect persons in photographs' photographs
step 'render a video of two persons with ground truth' draw_video
step 'track persons in the video' follow
step 'write viewer.html' view
step 'evaluate on the video' evaluate
cat "$OUT/metrics.txt"
say "$((SECONDS - begin)) s without the setup; results: $ROOT/$OUT"
