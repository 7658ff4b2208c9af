#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of EHF.

Reads NN_img.png and NN_align.ply;
see docs/en/datasets.md#ehf. An interrupted run is resumed.

Example:
    python tools/dataset_converters/ehf2humandata.py data/datasets/EHF
"""

from aios.datasets.converters import EHFConverter, run_command

if __name__ == '__main__':
    print(run_command(EHFConverter, __doc__))
