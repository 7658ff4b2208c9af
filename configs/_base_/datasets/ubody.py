# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# UBody (CVPR 2023), upper bodies in 15 scenes from sign language to talk
# shows: https://github.com/IDEA-Research/OSX. Split: intra-scene.
ubody_train = dict(
    type='HumanDataset',
    dataset_name='ubody',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/UBody/images'),
    ann_file='preprocessed_npz/multihuman_data/ubody_train_intra_multi.npz',
    kps2d_key='keypoints2d_ubody',
    sample_interval=5,
    part_bbox_ratio=1.2,
    part_valid_source='meta',  # the file has flags for hands and faces
    parts_mask_keypoints=True,
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
    type='HumanDataset',
    dataset_name='ubody',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/UBody/images'),
    ann_file='preprocessed_npz/multihuman_data/ubody_intra_test_all.npz',
    kps2d_key='keypoints2d_ubody',
    part_bbox_ratio=1.2,
    part_valid_source='meta',
    parts_mask_keypoints=True,
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
