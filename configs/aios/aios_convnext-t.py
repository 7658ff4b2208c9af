# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS with ConvNeXt-T of MMPreTrain (pip install onedl-mmpretrain).
_base_ = ['../_base_/default_runtime.py', '../_base_/models/aios_r50.py']

custom_imports = dict(imports=['mmpretrain.models'])
pretrained = 'https://mmassets.onedl.ai/mmclassification/v0/convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth'  # noqa: E501
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ConvNeXt',
        arch='tiny',
        out_indices=(1, 2, 3),
        drop_path_rate=0.4,
        layer_scale_init_value=1.0,
        gap_before_final_norm=False,
        init_cfg=dict(
            type='Pretrained', checkpoint=pretrained, prefix='backbone.'
        ),
    ),
    neck=dict(in_channels=[192, 384, 768]),
)
