# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# A training that takes seconds; the tests replace ROOT.
_base_ = ['../../configs/_base_/default_runtime.py']

custom_imports = dict(imports=['toy_project'], allow_failed_imports=False)
model = dict(type='ToyModel')
dataset = dict(
    type='ToyDataset',
    data_root='{{$TOY_ROOT:.}}',
    # a config, as in the recipes of synthetic images
    metainfo=dict(body_model=dict(type='SMPLXLayer', model_path='free')),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='WeightedConcatSampler', epoch_length=8),
    dataset=dict(type='SeededConcatDataset', datasets=[dataset]),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(test_mode=True, **dataset),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='WholeBodyMetric')
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=3)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
# The end is given explicitly: it must not depend on max_epochs.
param_scheduler = [dict(type='MultiStepLR', milestones=[2], end=3)]
custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='ExponentialMovingAverage',
        momentum=0.1,
        update_buffers=True,
    ),
    dict(type='StepSeedHook'),
    dict(type='ResumeFallbackHook'),
]
default_hooks = dict(
    logger=dict(interval=1),
    visualization=dict(num_images=2),
)
log_processor = dict(window_size=1)
env_cfg = dict(dist_cfg=dict(backend='gloo'))
randomness = dict(seed=3)
auto_scale_lr = dict(enable=False, base_batch_size=2)
