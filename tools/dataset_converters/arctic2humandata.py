#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of ARCTIC.

Reads raw_seqs, meta, splits_json and the names in images;
see docs/en/datasets.md#arctic. An interrupted run is resumed.

Example:
    python tools/dataset_converters/arctic2humandata.py data/datasets/ARCTIC \
        --split val --interval 30
"""

from aios.datasets.converters import ARCTICConverter, run_command

if __name__ == '__main__':
    print(run_command(ARCTICConverter, __doc__))
