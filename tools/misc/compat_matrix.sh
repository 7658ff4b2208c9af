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
# 8 GB for as long as it runs. $WORK/table.md has a line per row; nothing is
# thrown away of a row that failed but its environment.
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

# What is installed for the users of the scripts, with this torch.
install_onedl() {
    (
        export VIRTUAL_ENV=$ENV
        source "$SOURCE/tools/setup_env.sh"
        setup_environment tests
    )
}

# By hand: tools/setup_env.sh refuses these packages. setuptools 82 has no
# pkg_resources, which mmcv's setup.py and mmengine 0.10.7 import.
install_openmmlab() {
    local pip=("$ENV/bin/python" -m pip install --progress-bar off)
    "${pip[@]}" 'setuptools>=77,<82' wheel 'numpy<2' psutil packaging
    MMCV_WITH_OPS=0 "${pip[@]}" --no-cache-dir --no-build-isolation \
        mmcv==2.1.0
    "${pip[@]}" mmengine==0.10.7 mmdet==3.3.0 'numpy<2' \
        -r "$SOURCE/requirements/runtime.txt" pytest pytest-xdist hypothesis \
        tensorboard
    "${pip[@]}" --force-reinstall --no-deps 'opencv-python-headless>=5'
    "${pip[@]}" --no-deps --no-build-isolation --editable "$SOURCE"
}

run_smoke() {
    cd "$SOURCE"
    OMP_NUM_THREADS=1 "$ENV/bin/python" -m pytest -p no:cacheprovider -q \
        -m 'not slow' "${SMOKE[@]}"
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
    local family=$1 torch=$3 python
    python=$(find_python "$2") || {
        echo "not run: no Python $2 here"
        return
    }
    {
        "$python" -m venv --clear "$ENV" && install_torch "$torch"
    } >>"$LOG" 2>&1 || {
        echo "torch $torch cannot be installed"
        return
    }
    (set -e && "install_$family") >>"$LOG" 2>&1 || {
        echo 'installation failed'
        return
    }
    if (run_smoke) >>"$LOG" 2>&1; then
        tail -n 1 "$LOG"
    else
        echo "**$(grep -E '(passed|failed|error).* in ' "$LOG" |
            tail -n 1 || true)**"
    fi
}

main() {
    local row family python torch result
    [ $# -gt 0 ] || set -- "${ROWS[@]}"
    mkdir -p "$SOURCE"
    git -C "$ROOT" archive HEAD | tar -x -C "$SOURCE"
    if [ ! -f "$TABLE" ]; then
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
                "| $(versions onedl-mmcv mmcv)" \
                "| $(versions onedl-mmdetection mmdet) | $result |"
        else
            echo "| $family | $python | $torch | | | | | $result |"
        fi >>"$TABLE"
        tail -n 1 "$TABLE"
        [ "${KEEP:-0}" = 1 ] || rm -rf "$ENV"
    done
}

main "$@"
