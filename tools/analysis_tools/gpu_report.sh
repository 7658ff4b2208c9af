#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Measures this checkout on a machine that has a GPU and no network:
#
#   bash tools/analysis_tools/gpu_report.sh --collect [FOLDER]   on a machine with network
#   bash tools/analysis_tools/gpu_report.sh [OPTION...]          on the machine with a GPU
#
# The first command downloads wheels. The second command installs the missing
# ones into a temporary folder and runs gpu_report.py with the options (--help
# lists them). The Python of the machine with a GPU must have PyTorch with CUDA,
# NumPy, SciPy, OpenCV, Pillow, Matplotlib and PyYAML; it is not changed.
#
# Variables: WHEELS          folder of wheels (default: outputs/gpu_wheels)
#            PYTHON          interpreter (default: python3)
#            PYTHON_VERSION  Python version of the machine with a GPU, for
#                            --collect (default: that of $PYTHON)
#            EXTRA           more packages for --collect, e.g. 'scipy numba'

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WHEELS=${WHEELS:-$ROOT/outputs/gpu_wheels}
PYTHON=${PYTHON:-python3}
LIMIT=60 # MiB, so that the folder can be copied together with a checkout

# Pure Python; built here if the index has no wheel. mmcv without operators.
PURE=(
    onedl-mmcv onedl-mmdetection onedl-mmengine
    addict termcolor terminaltables platformdirs rich markdown-it-py mdurl
    pygments tqdm packaging
    pytest pytest-xdist execnet iniconfig pluggy
)
# Compiled for the Python of the machine with a GPU.
COMPILED=(pycocotools shapely safetensors pyyaml)

pip_() { "$PYTHON" -m pip "$@" -q --no-deps -c "$ROOT/requirements/constraints.txt"; }

collect() {
    local version platforms=() glibc size
    version=${PYTHON_VERSION:-$("$PYTHON" -c \
        'import sys; print("%d.%d" % sys.version_info[:2])')}
    # pip accepts only the platforms that are listed.
    for glibc in 2_{17..39}; do
        platforms+=(--platform "manylinux_${glibc}_x86_64")
    done
    mkdir -p "$WHEELS"
    rm -f "$WHEELS"/*.whl
    # The isolated build has no torch, so mmcv compiles nothing.
    pip_ wheel -w "$WHEELS" "${PURE[@]}"
    # shellcheck disable=SC2086
    pip_ download --only-binary=:all: --implementation cp \
        --python-version "$version" "${platforms[@]}" \
        --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
        -d "$WHEELS" "${COMPILED[@]}" ${EXTRA:-}
    size=$(du -sm "$WHEELS" | cut -f1)
    echo "$(ls "$WHEELS" | wc -l) wheels for Python $version in $WHEELS: $size MiB"
    if [ "$size" -gt "$LIMIT" ]; then
        echo "error: $WHEELS: $size MiB, allowed are $LIMIT; list fewer packages in EXTRA" >&2
        exit 1
    fi
}

missing() { # print the wheels of packages that are not installed
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

report() {
    local wheels=() site
    mapfile -t wheels < <(missing)
    site=$(mktemp -d)
    trap "rm -rf '$site'" EXIT
    if [ "${#wheels[@]}" -gt 0 ]; then
        "$PYTHON" -m pip install -q --no-index --no-deps --no-cache-dir \
            --target "$site" "${wheels[@]}"
    fi
    cd "$ROOT"
    PYTHONPATH=$ROOT:$site "$PYTHON" tools/analysis_tools/gpu_report.py "$@"
}

if [ "${1:-}" = --collect ]; then
    WHEELS=${2:-$WHEELS}
    collect
else
    report "$@"
fi
