# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""See ``configs/_base_/models/aios_r50.py``."""

from mmdet.models import ChannelMapper, ResNet
from mmengine.config import read_base

from aios.body_models import SMPLXLayer
from aios.models import AiOS, WholeBodyDataPreprocessor
from aios.models.heads import AiOSHead
from aios.models.layers import (
    DeformableEncoder,
    DenoisingQueryGenerator,
    ProgressiveDecoder,
)

with read_base():
    from .whole_body_losses import criterion

model = dict(
    type=AiOS,
    num_queries=900,
    num_feature_levels=4,
    data_preprocessor=dict(
        type=WholeBodyDataPreprocessor,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type=ResNet,
        depth=50,
        num_stages=4,
        out_indices=(1, 2, 3),
        frozen_stages=0,  # only the stem, DINO: 1
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    neck=dict(
        type=ChannelMapper,
        in_channels=[512, 1024, 2048],
        kernel_size=1,
        out_channels=256,
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=32),
        bias=True,  # besides the norm's, DINO: none
        num_outs=4,
    ),
    positional_encoding=dict(
        num_feats=128,
        normalize=True,
        offset=0.0,
        temperature=20,  # DINO of MMDetection: 20, the paper: 10000
    ),
    encoder=dict(
        type=DeformableEncoder,
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_heads=8, num_levels=4),
            ffn_cfg=dict(
                embed_dims=256, feedforward_channels=2048, ffn_drop=0.0
            ),
        ),
    ),
    decoder=dict(
        type=ProgressiveDecoder,
        stages=[
            dict(layout='body_localization', num_layers=2),  # 1 token
            dict(layout='body_refinement', num_layers=2),  # 21 tokens
            dict(layout='whole_body', num_layers=2),  # 39 tokens
        ],
        num_persons=100,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_heads=8),
            cross_attn_cfg=dict(embed_dims=256, num_heads=8, num_levels=4),
            ffn_cfg=dict(
                embed_dims=256, feedforward_channels=2048, ffn_drop=0.0
            ),
        ),
    ),
    bbox_head=dict(
        type=AiOSHead,
        num_classes=2,  # class 1 is person, class 0 is never a target
        embed_dims=256,
        # None: SMPL-X files in $AIOS_BODY_MODELS or data/body_models.
        # 'free': the body in the package.
        body_model=dict(type=SMPLXLayer, model_path=None),
        criterion=criterion,
    ),
    dn_cfg=dict(
        type=DenoisingQueryGenerator,
        num_queries=100,
        num_labels=100,
        label_noise_ratio=0.5,
        box_noise_scale=0.4,  # DINO: 1.0
    ),
    test_cfg=dict(max_per_img=50),
)
