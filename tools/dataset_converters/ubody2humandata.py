#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of UBody.

Reads annotations/<scene>/*.json and splits;
see docs/en/datasets.md#ubody. An interrupted run is resumed.

Example:
    python tools/dataset_converters/ubody2humandata.py data/datasets/UBody \
        --split test
"""

from aios.datasets.converters import UBodyConverter, run_command

if __name__ == '__main__':
    print(run_command(UBodyConverter, __doc__))
