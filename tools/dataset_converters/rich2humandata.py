#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of RICH.

Reads bodies, images, scan_calibration, gender.json;
see docs/en/datasets.md#rich. An interrupted run is resumed.

Example:
    python tools/dataset_converters/rich2humandata.py \
        data/datasets/RICH --split test
"""

from aios.datasets.converters import RICHConverter, run_command

if __name__ == '__main__':
    print(run_command(RICHConverter, __doc__))
