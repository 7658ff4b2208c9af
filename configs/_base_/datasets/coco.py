# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# COCO 2017 with COCO-WholeBody key-points and SMPL-X fits of NeuralAnnot:
# https://cocodataset.org, https://github.com/jin-s13/COCO-WholeBody,
# https://github.com/mks0601/NeuralAnnot_RELEASE.
coco_train = dict(
    type='HumanDataset',
    dataset_name='coco',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/coco_2017'),
    ann_file='preprocessed_npz/multihuman_data/coco_wholebody_new_train_multi.npz',
    kps2d_key='keypoints2d_ori',  # annotated by people, not projected fits
    has_3d=False,  # fits supervise as parameters, not as 3-D joints
    parts_mask_keypoints=True,
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
