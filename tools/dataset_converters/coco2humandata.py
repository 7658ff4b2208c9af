#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Make a HumanData file of COCO-WholeBody and NeuralAnnot.

Reads the two JSON files in annotations;
see docs/en/datasets.md#coco. An interrupted run is resumed.

Example:
    python tools/dataset_converters/coco2humandata.py data/datasets/coco_2017
"""

from aios.datasets.converters import COCOConverter, run_command

if __name__ == '__main__':
    print(run_command(COCOConverter, __doc__))
