#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of EMDB.

Reads P*/*/*_data.pkl;
see docs/en/datasets.md#emdb. An interrupted run is resumed.

Example:
    python tools/dataset_converters/emdb2humandata.py \
        data/datasets/EMDB --split emdb1
"""

from aios.datasets.converters import EMDBConverter, run_command

if __name__ == '__main__':
    print(run_command(EMDBConverter, __doc__))
