# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning schedule as published.
_base_ = ['./schedule_60e.py']

optim_wrapper = dict(
    optimizer=dict(lr=1.414e-5),  # pretraining: 1e-4
)
train_cfg = dict(
    max_epochs=50,  # pretraining: 60
)
param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=50,
        by_epoch=True,
        milestones=[30, 60],  # one decay within 50 epochs
        gamma=0.1,
    ),
]
