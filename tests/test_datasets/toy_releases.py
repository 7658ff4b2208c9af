# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small versions of the official releases, with the free body.

Each function writes a few persons with the folders, names, files and
coordinates of a release, and returns their ground truth in the camera: joints
and pixels by image. Layouts follow the documents of the releases and
mmhuman3d's converters, including unrelated files and dtypes.
"""

from __future__ import annotations

from pathlib import Path

from toy_annotated import coco, ubody
from toy_captured import arctic, egobody, ehf
from toy_synthetic import agora, bedlam

from aios.datasets import (
    AGORADataset,
    ARCTICDataset,
    BEDLAMDataset,
    COCONADataset,
    EgoBodyDataset,
    EHFDataset,
    UBodyDataset,
)
from aios.datasets.converters import (
    AGORAConverter,
    ARCTICConverter,
    BEDLAMConverter,
    COCOConverter,
    EgoBodyConverter,
    EHFConverter,
    UBodyConverter,
)

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'

# Name: writer, converter, split, dataset, folder of images.
RELEASES = {
    'agora': (agora, AGORAConverter, 'train', AGORADataset, ''),
    'bedlam': (
        bedlam,
        BEDLAMConverter,
        'train',
        BEDLAMDataset,
        'train_images',
    ),
    'coco': (coco, COCOConverter, 'train', COCONADataset, ''),
    'ubody': (ubody, UBodyConverter, 'train', UBodyDataset, ''),
    'arctic': (
        arctic,
        ARCTICConverter,
        'val',
        ARCTICDataset,
        'images',
    ),
    'egobody': (
        egobody,
        EgoBodyConverter,
        'train',
        EgoBodyDataset,
        '',
    ),
    'ehf': (ehf, EHFConverter, 'test', EHFDataset, ''),
}
