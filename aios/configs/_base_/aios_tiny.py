# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""See ``configs/aios/aios_tiny.py``."""

# ruff: noqa: F405

from mmengine.config import read_base

with read_base():
    from .aios_r50 import *  # noqa: F403

width = 64
attention = dict(embed_dims=width, num_heads=4)
deformable_attention = dict(num_points=2, **attention)
ffn = dict(embed_dims=width, feedforward_channels=2 * width)

model.update(num_queries=100)
model['backbone'].update(
    depth=18,
    stem_channels=16,
    base_channels=16,
    frozen_stages=-1,  # trained from scratch
    norm_eval=False,
    init_cfg=None,
)
model['backbone']['norm_cfg'].update(requires_grad=True)
model['neck'].update(in_channels=[32, 64, 128], out_channels=width)
model['positional_encoding'].update(num_feats=width // 2)
model['encoder'].update(num_layers=2)
layer_cfg = model['encoder']['layer_cfg']
layer_cfg['self_attn_cfg'].update(deformable_attention)
layer_cfg['ffn_cfg'].update(ffn)
model['decoder'].update(num_persons=20)
layer_cfg = model['decoder']['layer_cfg']
layer_cfg['self_attn_cfg'].update(attention)
layer_cfg['cross_attn_cfg'].update(deformable_attention)
layer_cfg['ffn_cfg'].update(ffn)
model['bbox_head'].update(embed_dims=width)
model['bbox_head']['body_model'].update(model_path='free')
model['dn_cfg'].update(num_queries=20)
model['test_cfg'].update(max_per_img=20)
