#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of EgoBody (egocentric pictures).

Reads cameras, calibrations, smplx_interactee_<split>, *.csv;
see docs/en/datasets.md#egobody. An interrupted run is resumed.

Example:
    python tools/dataset_converters/egobody2humandata.py \
        data/datasets/EgoBody --split test
"""

from aios.datasets.converters import EgoBodyConverter, run_command

if __name__ == '__main__':
    print(run_command(EgoBodyConverter, __doc__))
