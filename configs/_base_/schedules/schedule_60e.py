# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Pretraining schedule as published. Comments mark differences from DINO of
# MMDetection.
optim_wrapper = dict(
    type='AsyncOptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=1e-4,  # for 32 images per step
        # for all parameters, including norms and biases
        weight_decay=1e-4,
        fused=True,  # same result, faster
    ),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
train_cfg = dict(
    type='EpochBasedTrainLoop',
    max_epochs=60,  # DINO: 12
    val_interval=5,  # DINO: 1
)
param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=60,
        by_epoch=True,
        milestones=[30, 60],  # DINO: [11]
        gamma=0.1,
    ),
]
custom_hooks = [
    # As published: from the first step on, with buffers, decay 0.9997.
    # MMEngine validates the averaged weights and saves them as state_dict;
    # published results are those of the other weights (ema_state_dict).
    dict(
        type='EMAHook',
        ema_type='ExponentialMovingAverage',
        momentum=0.0003,
        update_buffers=True,
        priority=49,
    ),
    dict(type='StepSeedHook'),
    dict(type='ResumeFallbackHook'),
]
randomness = dict(seed=42)
# USER SHOULD NOT CHANGE base_batch_size: (16 GPUs) x (2 images per GPU)
auto_scale_lr = dict(enable=False, base_batch_size=32)
