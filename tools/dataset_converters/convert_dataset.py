#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of the official release of a dataset.

docs/en/datasets.md says what to download. An interrupted run is resumed.

Examples:
    python tools/dataset_converters/convert_dataset.py agora --help
    python tools/dataset_converters/convert_dataset.py agora \
        data/datasets/agora --split train --workers 4
    python tools/dataset_converters/convert_dataset.py ehf data/datasets/EHF
"""

from aios.datasets.converters import run_command

if __name__ == '__main__':
    print(run_command(description=__doc__))
