#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of 3DPW.

Reads sequenceFiles/<split>/*.pkl and imageFiles;
see docs/en/datasets.md#3dpw. An interrupted run is resumed.

Example:
    python tools/dataset_converters/3dpw2humandata.py \
        data/datasets/3DPW --split test
"""

from aios.datasets.converters import PW3DConverter, run_command

if __name__ == '__main__':
    print(run_command(PW3DConverter, __doc__))
