# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# ARCTIC (CVPR 2023), one person with an object, eight fixed cameras
# (protocol 1): https://arctic.is.tue.mpg.de (registration).
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
# The dataset class in aios/datasets/benchmarks.py defines its label rules.
arctic_train = dict(
    type='ARCTICDataset',
    dataset_name='arctic',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/ARCTIC/images'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/arctic_train.npz',
        'preprocessed_npz/multihuman_data/p1_train_multi.npz',
    ],
    sample_interval=1000,  # images
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='PersonGroupCrop', sample_prob=0.3, sample_ratio=0.5),
        dict(type='WholeBodyRandomResize'),
        dict(type='WholeBodyFlip', prob=0.5),
        dict(type='ChannelGain', gain_range=(0.8, 1.2)),
        dict(type='FilterWholeBody'),
        dict(type='PackWholeBodyInputs'),
    ],
)
arctic_val = dict(
    type='ARCTICDataset',
    dataset_name='arctic',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/ARCTIC/images'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/arctic_val.npz',
        'preprocessed_npz/multihuman_data/p1_val_multi.npz',
    ],
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
# One prediction per image, the best one; gendered ground-truth bodies.
arctic_evaluator = dict(
    type='SMPLXMeshMetric',
    prefix='ARCTIC',
    match='one_per_image',
    per_camera=True,
)
