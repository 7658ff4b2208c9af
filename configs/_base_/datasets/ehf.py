# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# EHF (CVPR 2019), 100 images of one person with registered scans:
# https://smpl-x.is.tue.mpg.de (registration). For testing only.
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
# The dataset class in aios/datasets/benchmarks.py defines its label rules.
ehf_test = dict(
    type='EHFDataset',
    dataset_name='ehf',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/EHF'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/ehf_test.npz',
        'preprocessed_npz/multihuman_data/ehf_val_230908_100.npz',
    ],
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
# One prediction per image, the best one, against the registered meshes.
ehf_evaluator = dict(
    type='SMPLXMeshMetric', prefix='EHF', match='one_per_image'
)
