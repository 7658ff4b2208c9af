#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
#
# Train with one process per GPU (or, on a machine without, per CPU):
#
#   bash tools/dist_train.sh CONFIG PROCESSES [options of train.py]
#
# Several machines: the same on each, with NNODES, NODE_RANK, MASTER_ADDR and
# PORT set. On one machine a free port is found unless PORT says which.

exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_run.sh" train.py 1 "$@"
