# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Synthetic images with exact labels, for visualization, tests and benchmarks.
# Created by
#   python tools/make_synthetic_dataset.py data/synthetic/look \
#       --images 24
dataset_type = 'HumanDataset'
data_root = 'data/synthetic/look/'
# Body model of overlays; must be the --body of the labels.
metainfo = dict(body_model=dict(type='SMPLXLayer', model_path='free'))

train_pipeline = [
    # float32; ignores EXIF orientation, as labels refer to the stored pixels
    dict(type='LoadImage'),
    dict(type='LoadHumanAnnotations'),
    # sample_prob/sample_ratio: AGORA .7/.5, BEDLAM .7/.6, UBody .3/.5
    dict(type='PersonGroupCrop', sample_prob=0.7, sample_ratio=0.5),
    # random short side of 480, 512, ..., 800; long side at most 1333
    dict(type='WholeBodyRandomResize'),
    dict(type='WholeBodyFlip', prob=0.5),
    dict(type='ChannelGain', gain_range=(0.8, 1.2)),
    # removes persons outside the crop
    dict(type='FilterWholeBody'),
    dict(type='PackWholeBodyInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadHumanAnnotations'),
    dict(type='WholeBodyResize', scale=(1333, 800)),
    dict(type='PackWholeBodyInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='humandata.npz',
        metainfo=metainfo,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    # With round_up metrics would count some images twice.
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='humandata.npz',
        metainfo=metainfo,
        # The last images, which are training images as well: no benchmark.
        indices=-8,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
