# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# BEDLAM (CVPR 2023), synthetic, 1 to 10 people per picture:
# https://bedlam.is.tue.mpg.de (registration). Ground truth of its test set is
# not public.
bedlam_train = dict(
    type='HumanDataset',
    dataset_name='bedlam',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/bedlam/train_images'),
    ann_file='preprocessed_npz/multihuman_data/bedlam_train_multi_0915.npz',
    sample_interval=5,  # neighbouring frames of a video look alike
    image_size=(720, 1280),
    use_betas_neutral=True,
    # Hand poses are absolute in BEDLAM; the file says whether they still are.
    flat_hand_mean='auto',
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
