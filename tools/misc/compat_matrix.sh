#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Installs the committed state of this project with other versions of Python,
# torch and OpenMMLab, and runs a part of the tests with each:
#
#   bash tools/misc/compat_matrix.sh                      all rows below
#   bash tools/misc/compat_matrix.sh onedl:3.12:2.8.0     FAMILY:PYTHON:TORCH
#
# A row takes minutes and, where the index offers torch for CUDA only, up to
# 8 GB for as long as it runs. $WORK/table.md gets a line per row, and each row
# has a log beside it.
#
# Variables: WORK                  where to work (default outputs/compat)
#            KEEP=1                keep the environments
#            AIOS_TORCH_INDEX_URL  package index for torch

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WORK=${WORK:-$ROOT/outputs/compat}
SOURCE=$WORK/source
TABLE=$WORK/table.md
ROWS=(
    onedl:3.10:2.4.1
    onedl:3.11:2.6.0
    onedl:3.12:2.8.0
    onedl:3.12:2.10.0
    onedl:3.11:2.13.0
    onedl:3.13:2.15.0
    openmmlab:3.10:2.4.1
)
SMOKE=(
    tests/test_packaging/test_imports.py
    tests/test_packaging/test_registry.py
    tests/test_structures
    tests/test_ops/test_msda.py
    tests/test_body_models/test_smplx_layer.py
    tests/test_models/test_aios.py
    tests/test_evaluation
    tests/test_tools/test_train.py::test_two_parts_are_a_whole
)

find_python() { # VERSION: print an interpreter of that version
    local version=$1 root candidate
    root=$(pyenv root 2>/dev/null || true)
    for candidate in "python$version" "$root/versions/$version"*/bin/python \
        "$(uv python find "$version" 2>/dev/null || true)"; do
        if "$candidate" -c "import sys, venv, ensurepip
sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

install_torch() { # VERSION
    "$ENV/bin/python" -m pip install --no-cache-dir --progress-bar off \
        ${AIOS_TORCH_INDEX_URL:+--index-url "$AIOS_TORCH_INDEX_URL"} \
        "torch==$1"
}

# Functions that are called in a condition: there bash forgets `set -e`, hence
# `&&` after each command.

# As tools/run_tests.sh does it for users, with the torch that is there.
install_onedl() {
    VIRTUAL_ENV=$ENV bash "$SOURCE/tools/setup_env.sh" tests
}

# By hand: tools/setup_env.sh refuses these packages. setuptools 82 has no
# pkg_resources, which mmengine 0.10.7 imports; mmcv-lite is mmcv without
# compiled operators.
install_openmmlab() {
    local pip=("$ENV/bin/python" -m pip install --progress-bar off)
    "${pip[@]}" 'setuptools>=77,<82' wheel packaging mmengine==0.10.7 \
        mmcv-lite==2.1.0 mmdet==3.3.0 tensorboard pytest pytest-xdist \
        hypothesis -r "$SOURCE/requirements/runtime.txt" &&
        "${pip[@]}" --force-reinstall --no-deps \
            'opencv-python-headless>=5' &&
        "${pip[@]}" --no-deps --no-build-isolation --editable "$SOURCE"
}

run_smoke() {
    cd "$SOURCE" &&
        OMP_NUM_THREADS=1 "$ENV/bin/python" -m pytest -q \
            -p no:cacheprovider -m 'not slow' "${SMOKE[@]}"
}

versions() { # NAME...: the first one that is installed
    "$ENV/bin/python" - "$@" <<'PY'
import sys
from importlib.metadata import PackageNotFoundError, version

for name in sys.argv[1:]:
    try:
        print(version(name))
        break
    except PackageNotFoundError:
        pass
else:
    print('–')
PY
}

try_row() { # FAMILY PYTHON TORCH: print the result
    local python
    python=$(find_python "$2") || {
        echo "not run: no Python $2 here"
        return
    }
    if ! logged "$python" -m venv --clear "$ENV"; then
        echo 'no virtual environment'
    elif ! logged install_torch "$3"; then
        echo "torch $3 cannot be installed"
    elif ! logged "install_$1"; then
        echo 'installation failed'
    elif logged run_smoke; then
        tail -n 1 "$LOG"
    else
        echo "**$(grep -E '(passed|failed|errors?).* in ' "$LOG" | tail -n 1)**"
    fi
}

logged() { # COMMAND [ARG...]: in a process of its own
    ("$@") >>"$LOG" 2>&1 </dev/null
}

main() {
    local row family python torch result
    [ $# -gt 0 ] || set -- "${ROWS[@]}"
    mkdir -p "$SOURCE"
    git -C "$ROOT" archive HEAD | tar -x -C "$SOURCE"
    if [ ! -s "$TABLE" ]; then
        echo '| family | Python | torch | numpy | mmengine | mmcv | mmdet |' \
            'tests |'
        echo '|---|---|---|---|---|---|---|---|'
    fi >>"$TABLE"
    for row in "$@"; do
        IFS=: read -r family python torch <<<"$row"
        ENV=$WORK/env-${row//:/-}
        LOG=$WORK/${row//:/-}.log
        echo "== $row ($LOG)"
        : >"$LOG"
        result=$(try_row "$family" "$python" "$torch")
        if [ -x "$ENV/bin/python" ]; then
            echo "| $family | $python | $(versions torch) | $(versions numpy)" \
                "| $(versions onedl-mmengine mmengine)" \
                "| $(versions onedl-mmcv mmcv mmcv-lite)" \
                "| $(versions onedl-mmdetection mmdet) | $result |"
        else
            echo "| $family | $python | $torch | | | | | $result |"
        fi >>"$TABLE"
        tail -n 1 "$TABLE"
        [ "${KEEP:-0}" = 1 ] || rm -rf "$ENV"
    done
}

main "$@"
