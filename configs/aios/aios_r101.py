# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS with ResNet-101.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/aios_r50.py']

model = dict(
    backbone=dict(
        depth=101,
        init_cfg=dict(checkpoint='torchvision://resnet101'),
    )
)
