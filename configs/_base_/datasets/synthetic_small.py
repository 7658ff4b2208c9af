# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Small synthetic images for training and validation. They need neither a
# license nor a download:
#   python tools/make_synthetic_dataset.py data/synthetic/train \
#       --images 2000 --size 320x240 --persons 1-4 --seed 0
#   python tools/make_synthetic_dataset.py data/synthetic/val \
#       --images 100 --size 320x240 --persons 1-4 --seed 1
# Body model of overlays; must be the --body of the labels.
metainfo = dict(body_model=dict(type='SMPLXLayer', model_path='free'))

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(
        type='WeightedConcatSampler',
        weights=[1.0],
        epoch_length=800,  # short epochs, for a learning curve
    ),
    dataset=dict(
        type='SeededConcatDataset',
        datasets=[
            dict(
                type='HumanDataset',
                dataset_name='synthetic',
                data_root='data/synthetic/train/',
                ann_file='humandata.npz',
                metainfo=metainfo,
                pipeline=[
                    dict(type='LoadImage'),
                    dict(type='LoadHumanAnnotations'),
                    # 30 % of the images; AGORA: 70 %
                    dict(
                        type='PersonGroupCrop',
                        sample_prob=0.3,
                        sample_ratio=0.5,
                    ),
                    dict(
                        type='WholeBodyRandomResize',
                        short_sizes=(160, 176, 192, 208),  # 480 to 800
                        max_size=320,  # 1333
                    ),
                    dict(type='WholeBodyFlip', prob=0.5),
                    dict(type='ChannelGain', gain_range=(0.8, 1.2)),
                    dict(type='FilterWholeBody'),
                    dict(type='PackWholeBodyInputs'),
                ],
            ),
        ],
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    # round_up would repeat some images.
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='HumanDataset',
        dataset_name='synthetic_val',
        data_root='data/synthetic/val/',
        ann_file='humandata.npz',
        metainfo=metainfo,
        test_mode=True,
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadHumanAnnotations'),
            dict(type='WholeBodyResize', scale=(320, 192)),  # (1333, 800)
            dict(type='PackWholeBodyInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='WholeBodyMetric',
    body_model=dict(type='SMPLXLayer', model_path='free'),
)
test_evaluator = val_evaluator
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
