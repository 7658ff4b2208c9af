# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# RICH (CVPR 2022), test split: https://rich.is.tue.mpg.de (registration).
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
rich_test = dict(
    type='RICHDataset',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/RICH'),
    ann_file='preprocessed_npz/multihuman_data/rich_test.npz',
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
# All persons; gendered ground-truth bodies.
rich_evaluator = dict(type='SMPLXMeshMetric', prefix='RICH')
