#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Evaluate with one process per GPU (or, on a machine without, per CPU):
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]
#
# Several machines: see dist_train.sh.

exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_run.sh" test.py 2 "$@"
