# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# All code paths of AiOS with less than 3 M parameters, for tests and CPUs.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/aios_r50.py']

width = 64
attention = dict(embed_dims=width, num_heads=4)
deformable_attention = dict(embed_dims=width, num_heads=4, num_points=2)
ffn = dict(embed_dims=width, feedforward_channels=2 * width)

model = dict(
    num_queries=100,
    backbone=dict(
        depth=18,
        stem_channels=16,
        base_channels=16,
        frozen_stages=-1,  # trained from scratch
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128], out_channels=width),
    positional_encoding=dict(num_feats=width // 2),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(self_attn_cfg=deformable_attention, ffn_cfg=ffn),
    ),
    decoder=dict(
        num_persons=20,
        layer_cfg=dict(
            self_attn_cfg=attention,
            cross_attn_cfg=deformable_attention,
            ffn_cfg=ffn,
        ),
    ),
    bbox_head=dict(
        embed_dims=width,
        body_model=dict(model_path='free'),
    ),
    dn_cfg=dict(num_queries=20),
    test_cfg=dict(max_per_img=20),
)
