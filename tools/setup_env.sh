#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Sets up an environment for this package:
#
#   bash tools/setup_env.sh            what is needed
#   bash tools/setup_env.sh optional   requirements/optional.txt too
#
# quickstart.sh and run_tests.sh source it. It offers
#
#   setup_environment [GROUP...]  find or make a Python environment and install
#                                 the package with requirements/GROUP.txt;
#                                 afterwards $PYTHON is its interpreter
#   step NAME COMMAND [ARG...]    run a command quietly, explain a failure
#
# An active virtualenv or conda environment (other than conda's `base`) is
# used as it is, and a torch or an mmcv found in it is never replaced.
# Otherwise the environment is .venv in this checkout.
#
# Variables: AIOS_PYTHON           interpreter from which .venv is made
#            AIOS_TORCH_INDEX_URL  package index for torch, where it is missing
#            AIOS_WITH_OPS=1       compile mmcv's operators (about 20 minutes)

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOG=$ROOT/outputs/logs/$(basename "$0" .sh).log
PYTHON=

# ----------------------------------------------------------------- reporting

say() { printf '%s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

start_log() {
    mkdir -p "$(dirname "$LOG")"
    printf '%s on %s\n' "$(basename "$0")" "$(date)" >"$LOG"
    say "log: $LOG"
}

# Progress bars are long lines. What torchrun says of a process that failed
# comes after what the process said, and is longer.
last_lines() {
    tr '\r' '\n' <"$LOG" |
        sed '/^[EWI][0-9]* .*torch\/distributed\/elastic\//,$d' | tail -n 20
}

step() {
    local name=$1 begin=$SECONDS status
    shift
    printf '%s ... ' "$name"
    printf '\n== %s\n$ %s\n' "$name" "$*" >>"$LOG"
    set +e
    (set -e && "$@") >>"$LOG" 2>&1 </dev/null
    status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        say "done ($((SECONDS - begin)) s)"
        return
    fi
    say 'FAILED'
    {
        say '---- last lines of the log'
        last_lines
        say '----'
    } >&2
    fail "step \"$name\" failed with exit status $status; log: $LOG"
}

# --------------------------------------------------------------- environment

find_python() {
    local candidate
    for candidate in ${AIOS_PYTHON:-python3 python3.12 python3.11 python3.13 \
        python3.10 python}; do
        if "$candidate" -c 'import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            say "$candidate"
            return
        fi
    done
    fail "no Python >= 3.10 with venv and ensurepip was found" \
        "(on Debian: apt-get install python3-venv);" \
        "AIOS_PYTHON can name one"
}

python_in() { # FOLDER: its Python, also where it was made on Windows
    local name
    for name in Scripts/python.exe bin/python; do
        [ -e "$1/$name" ] && break
    done
    printf '%s\n' "$1/$name"
}

choose_environment() {
    local prefix=${VIRTUAL_ENV:-} base
    # Conda activates `base` in every shell: that is no choice to install there.
    if [ -z "$prefix" ] && [ "${CONDA_DEFAULT_ENV:-base}" != base ]; then
        prefix=${CONDA_PREFIX:-}
    fi
    if [ -n "$prefix" ]; then
        say "environment: $prefix (active)"
    else
        prefix=$ROOT/.venv
        say "environment: $prefix"
        # `venv` also completes one whose creation was interrupted.
        if ! "$(python_in "$prefix")" -m pip --version >/dev/null 2>&1; then
            base=$(find_python)
            step "make .venv with $base" "$base" -m venv "$prefix"
        fi
    fi
    PYTHON=$(python_in "$prefix")
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$PYTHON is missing or older than 3.10"
    STAMPS=$prefix
}

installed() { # NAME...: print NAME==VERSION of those that are there
    "$PYTHON" - "$@" <<'PY'
import sys
from importlib.metadata import PackageNotFoundError, version

for name in sys.argv[1:]:
    try:
        print(f'{name}=={version(name)}')
    except PackageNotFoundError:
        pass
PY
}

# ---------------------------------------------------------------- what to do

fingerprint() { # everything that decides what an installation gives
    cat "$ROOT"/requirements/*.txt "$ROOT"/{pyproject.toml,setup.py} \
        "$ROOT/tools/setup_env.sh" | cksum
    (cd "$ROOT" && ls -d "$PWD" tools configs demo 2>/dev/null || true)
    say "ops=${AIOS_WITH_OPS:-0} groups=$*"
}

is_up_to_date() { # STAMP GROUP...
    local stamp=$1
    shift
    [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint "$@")" ] &&
        "$PYTHON" - <<'PY'
import sys
from importlib.util import find_spec

needed = 'torch mmengine mmcv mmdet cv2 scipy tqdm aios'.split()
sys.exit(any(find_spec(name) is None for name in needed))
PY
}

refuse_other_family() {
    local other
    other=$(installed mmengine mmcv mmcv-lite mmcv-full mmdet | xargs)
    [ -z "$other" ] || fail "this environment holds $other, which install the" \
        'same modules as the onedl packages that are needed here; use' \
        'another environment (or none: then .venv is made)'
}

write_constraints() { # the tested versions, but what is there stays
    local pin kept
    kept=$(installed torch torchvision onedl-mmcv)
    CONSTRAINTS=$(dirname "$LOG")/constraints.txt
    cp "$ROOT/requirements/constraints.txt" "$CONSTRAINTS"
    for pin in $kept; do
        grep -v "^${pin%%==*}==" "$CONSTRAINTS" >"$CONSTRAINTS.new"
        say "$pin" >>"$CONSTRAINTS.new"
        mv "$CONSTRAINTS.new" "$CONSTRAINTS"
    done
    [ -z "$kept" ] || say "already there, kept: $(say "$kept" | xargs)"
}

pinned() { grep "^$1==" "$CONSTRAINTS"; }

pip_install() {
    "$PYTHON" -m pip install --disable-pip-version-check --no-input \
        --progress-bar off --constraint "$CONSTRAINTS" "$@"
}

# --------------------------------------------------------------------- steps

# Only torch itself comes from that index: those of PyTorch hold few and old
# versions of what torch needs, which would not fit the tested ones.
install_torch() {
    if [ -n "${AIOS_TORCH_INDEX_URL:-}" ]; then
        pip_install --no-deps --index-url "$AIOS_TORCH_INDEX_URL" \
            "$(pinned torch)"
    fi
    pip_install "$(pinned torch)"
}

# pip's cache cannot tell a wheel with operators from one without, nor for
# which torch they were compiled: hence --no-cache-dir in both cases.
install_mmcv() {
    # In pip's isolated build torch is absent, so nothing is compiled.
    pip_install --no-cache-dir --no-deps "$(pinned onedl-mmcv)"
}

compile_mmcv() {
    pip_install -r "$ROOT/requirements/build.txt" packaging ninja
    pip_install --no-cache-dir --no-deps --no-build-isolation \
        --force-reinstall "$(pinned onedl-mmcv)"
}

install_requirements() { # GROUP...
    local group files=()
    for group in build runtime mminstall "$@"; do
        files+=(-r "$ROOT/requirements/$group.txt")
    done
    pip_install "${files[@]}"
}

install_package() {
    pip_install --no-deps --no-build-isolation --editable "$ROOT"
}

has_usable_opencv() {
    "$PYTHON" -c 'import cv2, sys
sys.exit(int(cv2.__version__.split(".")[0]) < 5)' >>"$LOG" 2>&1
}

# mmcv asks for opencv-python, whose files replace those of the headless
# package and need libGL.
restore_headless_opencv() {
    pip_install --force-reinstall --no-deps \
        "$(pinned opencv-python-headless)"
}

install_mmcv_steps() {
    # A build for one CUDA version carries that in its name.
    local there
    there=$("$PYTHON" -m pip list --format freeze --disable-pip-version-check \
        2>>"$LOG" | grep -c '^onedl-mmcv' || true)
    if [ "${AIOS_WITH_OPS:-0}" != 1 ]; then
        [ "$there" != 0 ] ||
            step 'install mmcv without compiled operators' install_mmcv
    elif ! "$PYTHON" -c 'import torch, mmcv._ext' >/dev/null 2>&1; then
        command -v "${CXX:-c++}" >/dev/null ||
            fail 'AIOS_WITH_OPS=1 needs a C++ compiler, and there is no' \
                "\"${CXX:-c++}\" (on Debian: apt-get install g++)"
        step 'compile mmcv with its operators (about 20 minutes)' compile_mmcv
    fi
}

setup_environment() { # [GROUP...]
    local begin=$SECONDS stamp
    start_log
    choose_environment
    stamp=$STAMPS/aios-setup${1:+-$1}.stamp
    if is_up_to_date "$stamp" "$@"; then
        say 'set-up: nothing to do'
        return
    fi
    refuse_other_family
    write_constraints
    [ -n "$(installed torch)" ] || step 'install torch' install_torch
    write_constraints >/dev/null
    install_mmcv_steps
    step 'install requirements' install_requirements "$@"
    step 'install this package (editable)' install_package
    has_usable_opencv ||
        step 'restore headless OpenCV' restore_headless_opencv
    step 'check the environment' "$PYTHON" -m aios doctor
    fingerprint "$@" >"$stamp"
    say "set-up: $((SECONDS - begin)) s"
}

# Run, and not sourced: only set up.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    setup_environment "$@"
fi
