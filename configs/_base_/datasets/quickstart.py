# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Very small synthetic images, for tests and benchmarks. Set data_root, or
# create train/, val/ and test/ with tools/make_synthetic_dataset.py. Numbers
# in comments are those of the published pipeline.
data_root = 'data/synthetic/quickstart/'
# Body model of overlays; must be the --body of the labels.
metainfo = dict(body_model=dict(type='SMPLXLayer', model_path='free'))

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    # Unlike InfiniteSampler, it resumes at the exact sample and augmentation.
    sampler=dict(type='InfiniteWeightedConcatSampler'),
    dataset=dict(
        type='SeededConcatDataset',
        datasets=[
            dict(
                type='HumanDataset',
                dataset_name='quickstart',
                data_root=data_root + 'train/',
                ann_file='humandata.npz',
                metainfo=metainfo,
                pipeline=[
                    dict(type='LoadImage'),
                    dict(type='LoadHumanAnnotations'),
                    # half of the images; AGORA: 70 %
                    dict(
                        type='PersonGroupCrop',
                        sample_prob=0.5,
                        sample_ratio=0.5,
                    ),
                    dict(
                        type='WholeBodyRandomResize',
                        short_sizes=(96,),  # 480 to 800
                        max_size=128,  # 1333
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
    num_workers=0,
    drop_last=False,
    # round_up would repeat some images.
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='HumanDataset',
        dataset_name='quickstart_val',
        data_root=data_root + 'val/',
        ann_file='humandata.npz',
        metainfo=metainfo,
        test_mode=True,
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadHumanAnnotations'),
            dict(type='WholeBodyResize', scale=(128, 96)),  # (1333, 800)
            dict(type='PackWholeBodyInputs'),
        ],
    ),
)
# Models are selected on val/ and reported on test/.
test_dataloader = dict(
    val_dataloader,
    dataset=dict(
        val_dataloader['dataset'],
        dataset_name='quickstart_test',
        data_root=data_root + 'test/',
    ),
)
val_evaluator = dict(
    type='WholeBodyMetric',
    body_model=dict(type='SMPLXLayer', model_path='free'),
)
test_evaluator = val_evaluator
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
