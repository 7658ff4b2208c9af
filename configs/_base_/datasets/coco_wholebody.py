# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# COCO-WholeBody (ECCV 2020), validation: keypoints of 5000 images,
# https://github.com/jin-s13/COCO-WholeBody. For testing only.
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
coco_wholebody_val = dict(
    type='CocoImageDataset',
    dataset_name='coco_wholebody',
    data_root='{{$AIOS_DATA:data}}/datasets/coco_2017',
    data_prefix=dict(img='val2017'),
    ann_file='annotations/coco_wholebody_val_v1.0.json',
    pipeline=[
        dict(type='LoadImage'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
