# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetunes the model of the package on a HumanData file; here on images of
# tools/make_synthetic_dataset.py. To use SMPL-X files set
# model.bbox_head.body_model.model_path=FOLDER, and likewise for the other body
# models.
_base_ = ['./aios_s.py']

load_from = 'aios://aios_s'  # the weights of the package
body_model = dict(type='SMPLXLayer', model_path='free')

# The candidate with the largest overlap with each person is always kept.
model = dict(
    decoder=dict(keep_overlapping=True),
    dn_cfg=dict(num_queries=12),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='WeightedConcatSampler'),
    dataset=dict(
        type='SeededConcatDataset',  # resumes with the same augmentation
        datasets=[
            dict(
                type='HumanDataset',
                data_root='data/synthetic/look/',
                ann_file='humandata.npz',
                metainfo=dict(body_model=body_model),
                # also images without persons, if annotated
                filter_cfg=dict(min_persons=0),
                pipeline=[
                    dict(type='LoadImage'),
                    dict(type='LoadHumanAnnotations'),
                    dict(
                        type='PersonGroupCrop',
                        sample_prob=0.5,
                        sample_ratio=0.5,
                    ),
                    dict(
                        type='WholeBodyRandomResize',
                        short_sizes=(192, 224, 256, 288, 320, 384),
                        max_size=512,
                        backend='area',
                    ),
                    dict(type='WholeBodyFlip', prob=0.5),
                    dict(type='ChannelGain', gain_range=(0.8, 1.2)),
                    dict(type='FilterWholeBody', keep_empty=True),
                    dict(type='PackWholeBodyInputs'),
                ],
            ),
        ],
    ),
)
# Here the training images, only to see that it learns. For a metric set
# val_dataloader.dataset.data_root to others.
val_dataloader = {{_base_.test_dataloader}}
val_evaluator = {{_base_.test_evaluator}}
val_cfg = dict(type='ValLoop')

optim_wrapper = dict(
    type='AsyncOptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=5.0, norm_type=2),
    paramwise_cfg=dict(custom_keys=dict(sampling_offsets=dict(lr_mult=0.1))),
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', begin=0, end=12, by_epoch=True),
]
custom_hooks = [dict(type='StepSeedHook'), dict(type='ResumeFallbackHook')]
visualizer = dict(body_model=body_model)
env_cfg = dict(dist_cfg=dict(backend='gloo'))
randomness = dict(seed=42)
auto_scale_lr = dict(enable=False, base_batch_size=16)
