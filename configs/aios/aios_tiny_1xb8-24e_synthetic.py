# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# A small model on small synthetic pictures: minutes on a CPU, no licence.
# For learning how things work and for finding out whether they do.
_base_ = [
    './aios_tiny.py',
    '../_base_/datasets/synthetic_small.py',
]

optim_wrapper = dict(
    type='OptimWrapper',
    # from scratch: more than 1e-4, and all parameters alike
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0, norm_type=2),  # 0.1
)
train_cfg = dict(
    type='EpochBasedTrainLoop',
    max_epochs=24,  # of 800 pictures
    val_interval=4,
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(
        type='MultiStepLR',
        begin=0,
        end=24,
        by_epoch=True,
        milestones=[18],
        gamma=0.1,
    ),
]
default_hooks = dict(
    logger=dict(interval=20),  # 50
    checkpoint=dict(interval=4, save_best='whole_body/F1', rule='greater'),
)
custom_hooks = [dict(type='StepSeedHook'), dict(type='ResumeFallbackHook')]
visualizer = dict(body_model=dict(type='SMPLXLayer', model_path='free'))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
randomness = dict(seed=42)
# USER SHOULD NOT CHANGE base_batch_size: (1 process) x (8 pictures)
auto_scale_lr = dict(enable=False, base_batch_size=8)
