#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Sets up an environment for this package:
#
#   bash tools/setup_env.sh            required packages
#   bash tools/setup_env.sh optional   also requirements/optional.txt
#
# quickstart.sh, train_demo.sh and run_tests.sh source it. It defines
#
#   setup_environment [GROUP...]  find or create a Python environment, install
#                                 the package with requirements/GROUP.txt and
#                                 set PYTHON to the interpreter
#   step NAME COMMAND [ARG...]    run a command with its output in the log;
#                                 print the last lines if it fails
#
# Uses the active virtualenv or conda environment (other than conda's `base`)
# and never replaces a torch or mmcv installed there. Otherwise creates .venv in
# this checkout.
#
# Variables: AIOS_PYTHON           interpreter to create .venv with
#            AIOS_TORCH_INDEX_URL  package index for torch, if torch is missing
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

# Without progress bars, and without torchrun's long report on a failed process,
# which follows the error message of the process itself.
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
    local candidate candidates=(python3 python3.{12,11,13,10} python)
    [ -z "${AIOS_PYTHON:-}" ] || candidates=("$AIOS_PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            say "$candidate"
            return
        fi
    done
    fail "found no Python >= 3.10 with venv and ensurepip" \
        "(on Debian: apt-get install python3-venv);" \
        "set AIOS_PYTHON to such an interpreter"
}

python_in() { # FOLDER: print its interpreter; Scripts/ is the layout of Windows
    local name
    for name in Scripts/python.exe bin/python; do
        [ -e "$1/$name" ] && break
    done
    printf '%s\n' "$1/$name"
}

choose_environment() {
    local prefix=${VIRTUAL_ENV:-} base
    # Conda activates `base` in every shell, so it is not the user's choice.
    if [ -z "$prefix" ] && [ "${CONDA_DEFAULT_ENV:-base}" != base ]; then
        prefix=${CONDA_PREFIX:-}
    fi
    if [ -n "$prefix" ]; then
        say "environment: $prefix (active)"
    else
        prefix=$ROOT/.venv
        say "environment: $prefix"
        # `venv` also completes an environment whose creation was interrupted.
        if ! "$(python_in "$prefix")" -m pip --version >/dev/null 2>&1; then
            base=$(find_python)
            step "create .venv with $base" "$base" -m venv "$prefix"
        fi
    fi
    PYTHON=$(python_in "$prefix")
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$PYTHON is missing or older than 3.10"
    STAMPS=$prefix
}

installed() { # NAME...: print NAME==VERSION of the installed packages
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

# -------------------------------------------------------------------- checks

fingerprint() { # all inputs that determine the installation
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

reject_other_family() {
    local other
    other=$(installed mmengine mmcv mmcv-lite mmcv-full mmdet | xargs)
    [ -z "$other" ] || fail "this environment contains $other, which provide the" \
        'same modules as the required onedl packages; activate another' \
        'environment, or none to use .venv'
}

write_constraints() { # tested versions, except for what is installed already
    local pin kept
    kept=$(installed torch torchvision onedl-mmcv)
    CONSTRAINTS=$(dirname "$LOG")/constraints.txt
    cp "$ROOT/requirements/constraints.txt" "$CONSTRAINTS"
    for pin in $kept; do
        grep -v "^${pin%%==*}==" "$CONSTRAINTS" >"$CONSTRAINTS.new"
        say "$pin" >>"$CONSTRAINTS.new"
        mv "$CONSTRAINTS.new" "$CONSTRAINTS"
    done
    [ -z "$kept" ] || say "already installed, kept: $(say "$kept" | xargs)"
}

pinned() { grep "^$1==" "$CONSTRAINTS"; }

pip_install() {
    "$PYTHON" -m pip install --disable-pip-version-check --no-input \
        --progress-bar off --constraint "$CONSTRAINTS" "$@"
}

# --------------------------------------------------------------------- steps

# Only torch itself is installed from that index: PyTorch's indexes have few and
# old versions of its dependencies, which conflict with the tested versions.
install_torch() {
    if [ -n "${AIOS_TORCH_INDEX_URL:-}" ]; then
        pip_install --no-deps --index-url "$AIOS_TORCH_INDEX_URL" \
            "$(pinned torch)"
    fi
    pip_install "$(pinned torch)"
}

# --no-cache-dir in both functions: pip's cache does not distinguish wheels with
# operators from wheels without, nor the torch they were compiled for.
install_mmcv() {
    # pip's isolated build has no torch, so mmcv compiles nothing.
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

# mmcv depends on opencv-python, which overwrites the files of the headless
# package and needs libGL.
restore_headless_opencv() {
    pip_install --force-reinstall --no-deps \
        "$(pinned opencv-python-headless)"
}

install_mmcv_steps() {
    # The package name may end with a CUDA version.
    local there
    there=$("$PYTHON" -m pip list --format freeze --disable-pip-version-check \
        2>>"$LOG" | grep -c '^onedl-mmcv' || true)
    if [ "${AIOS_WITH_OPS:-0}" != 1 ]; then
        [ "$there" != 0 ] ||
            step 'install mmcv without compiled operators' install_mmcv
    elif ! "$PYTHON" -c 'import torch, mmcv._ext' >/dev/null 2>&1; then
        command -v "${CXX:-c++}" >/dev/null ||
            fail 'AIOS_WITH_OPS=1 needs a C++ compiler, but there is no' \
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
        say 'setup: nothing to do'
        return
    fi
    reject_other_family
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
    say "setup: $((SECONDS - begin)) s"
}

# Executed, not sourced.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    setup_environment "$@"
fi
