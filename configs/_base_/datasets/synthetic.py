# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Images of synthetic persons with exact labels, for looking, testing and
# measuring. Made by
#   python tools/make_synthetic_dataset.py data/synthetic/look \
#       --images 24
dataset_type = 'HumanDataset'
data_root = 'data/synthetic/look/'
# for overlays; labels of another --body need that one
metainfo = dict(body_model=dict(type='SMPLXLayer', model_path='free'))

train_pipeline = [
    # float32, EXIF orientation ignored: labels refer to the stored pixels
    dict(type='LoadImage'),
    dict(type='LoadHumanAnnotations'),
    # AGORA's and BEDLAM's probabilities are .7/.5 and .7/.6, UBody's .3/.5
    dict(type='PersonGroupCrop', sample_prob=0.7, sample_ratio=0.5),
    # short side 480, 512, ..., 800 by chance, long side at most 1333
    dict(type='WholeBodyRandomResize'),
    dict(type='WholeBodyFlip', prob=0.5),
    dict(type='ChannelGain', gain_range=(0.8, 1.2)),
    # removes persons who left the crop
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
    # round_up would repeat images, and metrics would count them twice
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='humandata.npz',
        metainfo=metainfo,
        # the last images; training sees them, too: not a benchmark
        indices=-8,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
