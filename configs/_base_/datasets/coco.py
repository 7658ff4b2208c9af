# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# COCO 2017 with COCO-WholeBody keypoints and NeuralAnnot SMPL-X fits:
# https://cocodataset.org, https://github.com/jin-s13/COCO-WholeBody,
# https://github.com/mks0601/NeuralAnnot_RELEASE.
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
# The dataset class in aios/datasets/benchmarks.py defines its label rules.
coco_train = dict(
    type='COCONADataset',
    dataset_name='coco',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/coco_2017'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/coco_train.npz',
        'preprocessed_npz/multihuman_data/coco_wholebody_new_train_multi.npz',
    ],
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
