# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS with PatchNet instead of ResNet, and a dataset wrapper of MMDetection:
#   PYTHONPATH=. mim train aios configs/aios_patchnet_synthetic.py
_base_ = 'aios::aios/aios_tiny_1xb8-24e_synthetic.py'

custom_imports = dict(imports=['wholebody_lab'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='wholebody_lab.PatchNet',
        widths=(16, 32, 64),
    ),
    neck=dict(in_channels=[16, 32, 64]),
)

# Datasets of AiOS, unchanged, inside MMDetection's wrapper.
data_root = '{{$LAB_DATA:data/synthetic/train}}/'
person_dataset = _base_.train_dataloader.dataset.datasets[0]
person_dataset.data_root = data_root
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_delete_=True, type='InfiniteSampler'),
    dataset=dict(
        _delete_=True,
        type='mmdet.MultiImageMixDataset',
        dataset=person_dataset,
        pipeline=[],
    ),
)
val_dataloader = val_cfg = val_evaluator = None
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2)
param_scheduler = []
log_processor = dict(by_epoch=False, window_size=1)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(
        _delete_=True, type='CheckpointHook', by_epoch=False, interval=2
    ),
)
