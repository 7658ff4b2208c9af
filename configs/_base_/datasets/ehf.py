# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# EHF (CVPR 2019), 100 pictures of one person with registered scans:
# https://smpl-x.is.tue.mpg.de (registration). For testing only.
ehf_test = dict(
    type='HumanDataset',
    dataset_name='ehf',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/EHF'),
    ann_file='preprocessed_npz/multihuman_data/ehf_val_230908_100.npz',
    image_size=(1200, 1600),
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
