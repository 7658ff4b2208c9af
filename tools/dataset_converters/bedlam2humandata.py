#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of BEDLAM.

Reads all_npz_12_training/<scene>.npz;
see docs/en/datasets.md#bedlam. An interrupted run is resumed.

Example:
    python tools/dataset_converters/bedlam2humandata.py data/datasets/bedlam \
        --workers 4
"""

from aios.datasets.converters import BEDLAMConverter, run_command

if __name__ == '__main__':
    print(run_command(BEDLAMConverter, __doc__))
