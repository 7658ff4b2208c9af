# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# EHF (CVPR 2019), 100 images of one person with registered scans:
# https://smpl-x.is.tue.mpg.de (registration). For testing only.
# All data lie in one folder (docs/en/datasets.md); another place: AIOS_DATA.
# Rules of the dataset are in its class, aios/datasets/benchmarks.py.
ehf_test = dict(
    type='EHFDataset',
    dataset_name='ehf',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/EHF'),
    # made by our converter, or as published with AiOS
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
# The best prediction of each image, against the registered meshes.
ehf_evaluator = dict(
    type='SMPLXMeshMetric', prefix='EHF', match='one_per_image'
)
