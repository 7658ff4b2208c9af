# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Counts steps instead of epochs; an epoch has four.
_base_ = ['./toy_config.py']

train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=12, val_interval=12
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[8], end=12)
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=6))
log_processor = dict(by_epoch=False)
