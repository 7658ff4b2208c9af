#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Set up an environment (see setup_env.sh) and run the tests in it:
#
#   bash tools/run_tests.sh                       all but the slow ones
#   bash tools/run_tests.sh -m slow               only the slow ones
#   bash tools/run_tests.sh tests/test_structures -k camera
#
# Arguments go to pytest. Safe to run again: what is set up stays. All but the
# slow ones took about 5 minutes on two free cores (3200 tests), after a minute or
# two for the set-up; the slow ones as long.

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

setup_environment tests docs

# One process per core, so each of them needs but one thread.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
say 'all tests but the slow ones take about 6 minutes on two free cores'
begin=$SECONDS
status=0
cd "$ROOT"
"$PYTHON" -m pytest -n auto --dist worksteal -m 'not slow' "$@" || status=$?
say "tests: $((SECONDS - begin)) s, exit status $status"
exit "$status"
