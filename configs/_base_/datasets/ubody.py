# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# UBody (CVPR 2023), upper bodies in 15 scenes from sign language to talk
# shows: https://github.com/IDEA-Research/OSX. Split: intra-scene.
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
# The dataset class in aios/datasets/benchmarks.py defines its label rules.
ubody_train = dict(
    type='UBodyDataset',
    dataset_name='ubody',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/UBody'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/ubody_train.npz',
        'preprocessed_npz/multihuman_data/ubody_train_intra_multi.npz',
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
ubody_test = dict(
    type='UBodyDataset',
    dataset_name='ubody',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/UBody'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/ubody_test.npz',
        'preprocessed_npz/multihuman_data/ubody_intra_test_all.npz',
    ],
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
# Errors are averaged over vertices and joints that the annotated camera
# projects into the image; the alignment uses all. Invisible hands are ignored.
ubody_evaluator = dict(
    type='SMPLXMeshMetric',
    prefix='UBody',
    match='one_per_image',
    weighted_match=True,
    in_image=True,
)
