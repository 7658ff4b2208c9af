# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning on BEDLAM alone. Not in the paper; hyperparameters are ours.
# The configs for other single datasets inherit from this one.
_base_ = ['./aios_r50_8xb2-50e_finetune-mix.py']

train_dataloader = dict(
    sampler=dict(weights=[1.0]),  # six datasets
    dataset=dict(
        datasets=[{{_base_.bedlam_train}}],
    ),
)
# Validated on AGORA, because BEDLAM's test labels are not public.
train_cfg = dict(max_epochs=20, val_interval=1)  # 50, 5
param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=20,
        by_epoch=True,
        milestones=[15],  # [30, 60]
        gamma=0.1,
    ),
]
# the published weights, or the last checkpoint of the base config
load_from = 'data/checkpoint/aios_checkpoint.pth'
