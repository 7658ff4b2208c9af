#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of AGORA.

Reads the pictures, their data frames (*_withjv.pkl) and smplx_gt;
see docs/en/datasets.md#agora. An interrupted run is resumed.

Example:
    python tools/dataset_converters/agora2humandata.py data/datasets/agora \
        --split train --workers 4
"""

from aios.datasets.converters import AGORAConverter, run_command

if __name__ == '__main__':
    print(run_command(AGORAConverter, __doc__))
