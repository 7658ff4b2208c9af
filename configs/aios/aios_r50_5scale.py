# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS with ResNet-50 and five feature levels, strides 4 to 64.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/aios_r50.py']

num_levels = 5
model = dict(
    num_feature_levels=num_levels,
    backbone=dict(out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[256, 512, 1024, 2048], num_outs=num_levels),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=num_levels))),
)
