#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Installs the committed state of this project with other versions of Python,
# torch and OpenMMLab, and runs a part of the tests with each:
#
#   bash tools/misc/compat_matrix.sh                      all rows below
#   bash tools/misc/compat_matrix.sh onedl:3.12:2.8.0     FAMILY:PYTHON:TORCH
#
# FAMILY is onedl or openmmlab. The tests train, evaluate and predict with
# small models; they take about 4 minutes of one core. Before that pip fetches
# packages for minutes, and where the index offers torch for CUDA only, a row
# takes up to 8 GB for as long as it runs.
#
# A row that fails does not end the run; the exit status is then 1. A row whose
# Python is not here counts as not run. $WORK/table.md gets a line per row, and
# each row has a log beside it.
#
# Variables: WORK                  where to work (default outputs/compat)
#            KEEP=1                keep the environments
#            AIOS_TORCH_INDEX_URL  package index for torch

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WORK=$(realpath -m "${WORK:-$ROOT/outputs/compat}")
SOURCE=$WORK/source
TABLE=$WORK/table.md
ROWS=(
    onedl:3.10:2.4.1
    onedl:3.11:2.6.0
    onedl:3.12:2.8.0
    onedl:3.12:2.10.0
    onedl:3.11:2.14.1
    onedl:3.13:2.14.1
    openmmlab:3.10:2.4.1
)
SMOKE=(
    tests/test_packaging/test_imports.py
    tests/test_packaging/test_registry.py
    tests/test_utils
    tests/test_structures
    tests/test_datasets/test_human_dataset.py
    tests/test_datasets/test_transforms.py
    tests/test_ops/test_msda.py
    tests/test_body_models/test_smplx_layer.py
    tests/test_models/test_aios.py
    tests/test_models/test_checkpoints.py
    tests/test_models/test_inference.py
    tests/test_evaluation
    tests/test_engine
    tests/test_tools/test_train.py::test_two_parts_are_a_whole
    tests/test_tools/test_test.py
    tests/test_tools/test_quickstart.py
    tests/test_apis/test_inferencer.py
    tests/test_visualization/test_mesh.py
    tests/test_export/test_gltf.py
)

usage() { # the comment at the top of this file
    sed -n '4,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

check_rows() { # ROW...
    local row
    for row in "$@"; do
        [[ $row =~ ^(onedl|openmmlab):[0-9]+\.[0-9]+:[0-9][0-9a-z.+]*$ ]] || {
            echo "error: \"$row\" is not FAMILY:PYTHON:TORCH, where FAMILY is" \
                'onedl or openmmlab, as in onedl:3.12:2.8.0' >&2
            exit 2
        }
    done
}

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
        mmcv-lite==2.1.0 mmdet==3.3.0 \
        -r "$SOURCE/requirements/runtime.txt" \
        -r "$SOURCE/requirements/tests.txt" &&
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

summary() { # what pytest counted, or that it ended without counting
    local counts
    counts=$(grep -E '(passed|failed|errors?).* in ' "$LOG" | tail -n 1)
    echo "${counts:-tests ended without a result}"
}

try_row() { # FAMILY PYTHON TORCH: set RESULT and return whether all is well
    local python
    python=$(find_python "$2") || {
        RESULT="not run: no Python $2 here"
        return 0
    }
    if ! step 'make the environment' "$python" -m venv --clear "$ENV"; then
        RESULT='**no virtual environment**'
    elif ! step "install torch $3" install_torch "$3"; then
        RESULT="**torch $3 cannot be installed**"
    elif ! step 'install the rest' "install_$1"; then
        RESULT='**installation failed**'
    elif ! step 'run tests' run_smoke; then
        RESULT="**$(summary)**"
    else
        RESULT=$(summary)
        return 0
    fi
    return 1
}

step() { # NAME COMMAND [ARG...]: in a process of its own
    local name=$1 begin=$SECONDS status=0
    shift
    printf '   %s ... ' "$name"
    printf '\n== %s\n' "$name" >>"$LOG"
    ("$@") >>"$LOG" 2>&1 </dev/null || status=$?
    [ "$status" = 0 ] && printf 'done' || printf 'FAILED'
    printf ' (%d s)\n' "$((SECONDS - begin))"
    return "$status"
}

take_source() { # the committed state, and nothing that an earlier run left
    rm -rf "$SOURCE"
    mkdir -p "$SOURCE"
    git -C "$ROOT" archive HEAD | tar -x -C "$SOURCE"
    echo "source: $(git -C "$ROOT" log -1 --format='%h %s')"
}

table_line() { # FAMILY PYTHON TORCH
    if [ -x "$ENV/bin/python" ]; then
        echo "| $1 | $2 | $(versions torch) | $(versions numpy)" \
            "| $(versions onedl-mmengine mmengine)" \
            "| $(versions onedl-mmcv mmcv mmcv-lite)" \
            "| $(versions onedl-mmdetection mmdet) | $RESULT |"
    else
        echo "| $1 | $2 | $3 | | | | | $RESULT |"
    fi
}

main() {
    local row parts failed=0
    case ${1:-} in -h | --help)
        usage
        return
        ;;
    esac
    [ $# -gt 0 ] || set -- "${ROWS[@]}"
    check_rows "$@"
    take_source
    if [ ! -s "$TABLE" ]; then
        echo '| family | Python | torch | numpy | mmengine | mmcv | mmdet |' \
            'tests |'
        echo '|---|---|---|---|---|---|---|---|'
    fi >>"$TABLE"
    for row in "$@"; do
        IFS=: read -ra parts <<<"$row"
        ENV=$WORK/env-${row//:/-}
        LOG=$WORK/${row//:/-}.log
        echo "== $row ($LOG)"
        : >"$LOG"
        try_row "${parts[@]}" || failed=1
        table_line "${parts[@]}" >>"$TABLE"
        tail -n 1 "$TABLE"
        [ "${KEEP:-0}" = 1 ] || rm -rf "$ENV"
    done
    return "$failed"
}

main "$@"
