#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Convert the official release of a dataset to a HumanData file.

docs/en/datasets.md lists the downloads. An interrupted run is resumed.

Examples:
    python tools/dataset_converters/convert_dataset.py agora --help
    python tools/dataset_converters/convert_dataset.py agora \
        data/datasets/agora --split train --workers 4
    python tools/dataset_converters/convert_dataset.py ehf data/datasets/EHF
"""

from aios.datasets.converters import run_command

if __name__ == '__main__':
    print(run_command(description=__doc__))
