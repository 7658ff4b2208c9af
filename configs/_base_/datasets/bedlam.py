# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# BEDLAM (CVPR 2023), synthetic, 1 to 10 persons per image:
# https://bedlam.is.tue.mpg.de (registration). The ground truth of its test set
# is not public.
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
# The dataset class in aios/datasets/benchmarks.py defines its label rules.
bedlam_train = dict(
    type='BEDLAMDataset',
    dataset_name='bedlam',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/bedlam/train_images'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/bedlam_train.npz',
        'preprocessed_npz/multihuman_data/bedlam_train_multi_0915.npz',
    ],
    sample_interval=5,  # images
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='PersonGroupCrop', sample_prob=0.7, sample_ratio=0.6),
        dict(type='WholeBodyRandomResize'),
        dict(type='WholeBodyFlip', prob=0.5),
        dict(type='ChannelGain', gain_range=(0.8, 1.2)),
        dict(type='FilterWholeBody'),
        dict(type='PackWholeBodyInputs'),
    ],
)
# No labels; images are <scene>/png/<sequence>/<frame>.png.
bedlam_test = dict(
    type='MediaDataset',
    dataset_name='bedlam',
    source='{{$AIOS_DATA:data}}/datasets/bedlam/test_images',
    recursive=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
