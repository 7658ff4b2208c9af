# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# EgoBody (ECCV 2022), egocentric views (EgoSet), one person per image:
# https://sanweiliti.github.io/egobody/egobody.html (registration).
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
# The dataset class in aios/datasets/benchmarks.py defines its label rules.
egobody_train = dict(
    type='EgoBodyDataset',
    dataset_name='egobody',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/EgoBody'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/egobody_train.npz',
        'preprocessed_npz/multihuman_data/egobody_egocentric_train_multi_080824.npz',
    ],
    sample_interval=5,  # images
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
egobody_val = dict(
    type='EgoBodyDataset',
    dataset_name='egobody',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/EgoBody'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/egobody_val.npz',
        'preprocessed_npz/multihuman_data/egobody_egocentric_val_multi_080824.npz',
    ],
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
egobody_test = dict(
    egobody_val,
    ann_file=[
        'preprocessed_npz/multihuman_data/egobody_test.npz',
        'preprocessed_npz/multihuman_data/egobody_egocentric_test_230425_043_fix_betas.npz',
    ],
)
# One prediction per image, the best one; gendered ground-truth bodies.
egobody_evaluator = dict(
    type='SMPLXMeshMetric', prefix='EgoBody', match='one_per_image'
)
