#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Measures this checkout on a machine with a GPU and without network:
#
#   bash tools/analysis_tools/gpu_report.sh --collect [FOLDER]   with network
#   bash tools/analysis_tools/gpu_report.sh [REPORT.md]          with a GPU
#
# The first command gathers wheels. The second one installs those that the
# machine lacks into a temporary folder, runs the other benchmarks one after
# the other, and writes their commands and tables (default: gpu_report.md in
# outputs). The machine's Python has PyTorch for CUDA, NumPy, SciPy, OpenCV,
# Pillow, Matplotlib and PyYAML; nothing of it is changed. AIOS_MSDA_KERNEL
# chooses the kernel of deformable attention.
#
# Variables: WHEELS          folder of wheels, default outputs/gpu_wheels
#            PYTHON          interpreter, default python3
#            PYTHON_VERSION  of the machine with a GPU, for --collect;
#                            default: that of $PYTHON
#            EXTRA           more packages for --collect, e.g. 'scipy numba'
#            STEP_SECONDS    after which a benchmark is stopped, default 150

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WHEELS=${WHEELS:-$ROOT/outputs/gpu_wheels}
PYTHON=${PYTHON:-python3}
LIMIT=60 # MiB, so that the folder can travel with a checkout

# Built here where the index has no wheel; without mmcv's operators.
PURE=(
    onedl-mmcv onedl-mmdetection onedl-mmengine
    addict termcolor terminaltables platformdirs rich markdown-it-py mdurl
    pygments tqdm packaging
    pytest pytest-xdist execnet iniconfig pluggy
)
# Compiled, for the other machine's Python.
COMPILED=(pycocotools shapely safetensors pyyaml)

pip_() { "$PYTHON" -m pip "$@" -q --no-deps -c "$ROOT/requirements/constraints.txt"; }

collect() {
    local version platforms=() glibc size
    version=${PYTHON_VERSION:-$("$PYTHON" -c \
        'import sys; print("%d.%d" % sys.version_info[:2])')}
    # pip takes only the platforms that it is told.
    for glibc in 2_{17..39}; do
        platforms+=(--platform "manylinux_${glibc}_x86_64")
    done
    mkdir -p "$WHEELS"
    rm -f "$WHEELS"/*.whl
    # The isolated build has no torch, and so compiles nothing.
    pip_ wheel -w "$WHEELS" "${PURE[@]}"
    # shellcheck disable=SC2086
    pip_ download --only-binary=:all: --implementation cp \
        --python-version "$version" "${platforms[@]}" \
        --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
        -d "$WHEELS" "${COMPILED[@]}" ${EXTRA:-}
    size=$(du -sm "$WHEELS" | cut -f1)
    echo "$(ls "$WHEELS" | wc -l) wheels for Python $version in $WHEELS: $size MiB"
    if [ "$size" -gt "$LIMIT" ]; then
        echo "error: more than $LIMIT MiB; EXTRA names fewer" >&2
        exit 1
    fi
}

missing() { # print the wheels of packages that the machine lacks
    "$PYTHON" - "$WHEELS" <<'PY'
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

for wheel in sorted(Path(sys.argv[1]).glob('*.whl')):
    try:
        version(wheel.name.partition('-')[0])
    except PackageNotFoundError:
        print(wheel)
PY
}

step() { # COMMAND...: one that fails or hangs does not stop the others
    echo "$*"
    printf '\n```shell\npython %s\n```\n\n' "$*" >>"$REPORT"
    timeout -k 5 "${STEP_SECONDS:-150}" "$PYTHON" "$@" >>"$REPORT" 2>"$SITE/errors" ||
        printf '\nFailed (exit status %d): %s\n' "$?" \
            "$(tail -n 1 "$SITE/errors")" | tee -a "$REPORT"
}

report() {
    local wheels=() dtype tool=tools/analysis_tools options inference
    REPORT=$(realpath -m "${1:-$ROOT/outputs/gpu_report.md}")
    mkdir -p "$(dirname "$REPORT")"
    mapfile -t wheels < <(missing)
    SITE=$(mktemp -d)
    trap 'rm -rf "$SITE"' EXIT
    if [ "${#wheels[@]}" -gt 0 ]; then
        "$PYTHON" -m pip install -q --no-index --no-deps --no-cache-dir \
            --target "$SITE" "${wheels[@]}"
    fi
    cd "$ROOT"
    export PYTHONPATH=$ROOT:$SITE
    "$PYTHON" -m torch.utils.collect_env 2>&1 |
        grep -E '^(PyTorch|CUDA used|GPU models|Python version)' >"$REPORT" || true
    options='configs/aios/aios_r50.py --device cuda --repeats 10 --warmup 3
        --cfg-options model.bbox_head.body_model.model_path=free'
    inference="$tool/benchmark.py $options --batch-sizes 1 8"
    # The most important first: time may run out.
    step -m pytest -q 'tests/test_models/test_parity.py::test_small_double[cuda]' \
        tests/test_ops/test_msda_triton.py
    step $tool/benchmark_msda.py --device cuda --repeats 10 --dtype float32 bfloat16
    step $tool/benchmark.py configs/aios/aios_s.py --device cuda --repeats 10 \
        --shape 480 640 --batch-sizes 1 8
    # shellcheck disable=SC2086
    for dtype in float32 bfloat16; do
        step $inference --dtype $dtype
        step $tool/benchmark_train.py $options --shape 800 1333 --dtype $dtype
        step $inference --dtype $dtype --compile cudagraphs
        step $inference --dtype $dtype --compile inductor
    done
    echo "$REPORT"
}

if [ "${1:-}" = --collect ]; then
    WHEELS=${2:-$WHEELS}
    collect
else
    report "$@"
fi
