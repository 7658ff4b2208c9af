# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS with ResNet-18.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/aios_r50.py']

model = dict(
    backbone=dict(
        depth=18,
        init_cfg=dict(checkpoint='torchvision://resnet18'),
    ),
    neck=dict(in_channels=[128, 256, 512]),
)
