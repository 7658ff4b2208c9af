#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Evaluates a model with one process per GPU (without GPUs: CPU processes):
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]
#
# For several machines see dist_train.sh.

exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_run.sh" test.py 2 "$@"
