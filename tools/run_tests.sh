#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Sets up an environment (see setup_env.sh) and runs the tests in it:
#
#   bash tools/run_tests.sh                       all tests except the slow ones
#   bash tools/run_tests.sh -m slow               only the slow tests
#   bash tools/run_tests.sh tests/test_structures -k camera
#
# Arguments are passed to pytest. Can be run again; the environment is kept. The
# default run takes about 6 minutes on two idle CPU cores, after 1 to 2 minutes
# for the setup; the slow tests take as long.

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

setup_environment tests docs

# One process per core, so one thread per process is enough.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
say 'the tests take about 6 minutes on two idle CPU cores'
begin=$SECONDS
status=0
cd "$ROOT"
"$PYTHON" -m pytest -n auto --dist worksteal -m 'not slow' "$@" || status=$?
say "tests: $((SECONDS - begin)) s, exit status $status"
exit "$status"
