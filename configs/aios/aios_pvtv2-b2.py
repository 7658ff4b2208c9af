# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS with the transformer backbone PVTv2-B2 of MMDetection.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/aios_r50.py']

pretrained = (
    'https://github.com/whai362/PVT/releases/download/v2/pvt_v2_b2.pth'
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.PyramidVisionTransformerV2',
        embed_dims=64,
        num_layers=[3, 4, 6, 3],
        out_indices=(1, 2, 3),
        init_cfg=dict(checkpoint=pretrained),
    ),
    neck=dict(in_channels=[128, 320, 512]),
)
