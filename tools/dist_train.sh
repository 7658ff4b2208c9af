#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Trains a model with one process per GPU (without GPUs: CPU processes):
#
#   bash tools/dist_train.sh CONFIG PROCESSES [options of train.py]
#
# On several machines run the same command on each, with NNODES, NODE_RANK,
# MASTER_ADDR and PORT set. On one machine a free port is chosen unless PORT is
# set.

exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_run.sh" train.py 1 "$@"
