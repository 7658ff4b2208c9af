# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS with ResNet-50, as published (https://arxiv.org/abs/2403.17934).
# Comments mark differences from DINO-4scale-R50 of MMDetection.
_base_ = ['../losses/whole_body.py']

model = dict(
    type='AiOS',
    num_queries=900,
    num_feature_levels=4,
    data_preprocessor=dict(
        type='aios.WholeBodyDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type='mmdet.ResNet',
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
        type='mmdet.ChannelMapper',
        in_channels=[512, 1024, 2048],
        kernel_size=1,
        out_channels=256,
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=32),
        bias=True,  # in addition to the norm; DINO: False
        num_outs=4,
    ),
    positional_encoding=dict(
        num_feats=128,
        normalize=True,
        offset=0.0,
        temperature=20,  # DINO of MMDetection: 20, the paper: 10000
    ),
    encoder=dict(
        type='DeformableEncoder',
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_heads=8, num_levels=4),
            ffn_cfg=dict(
                embed_dims=256, feedforward_channels=2048, ffn_drop=0.0
            ),
        ),
    ),
    decoder=dict(
        type='ProgressiveDecoder',
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
        type='AiOSHead',
        num_classes=2,  # class 1 is person, class 0 is never a target
        embed_dims=256,
        # SMPL-X files are in $AIOS_BODY_MODELS or data/body_models.
        # 'free' is the body model included in the package.
        body_model=dict(type='SMPLXLayer', model_path=None),
        criterion={{_base_.criterion}},
    ),
    dn_cfg=dict(
        type='DenoisingQueryGenerator',
        num_queries=100,
        num_labels=100,
        label_noise_ratio=0.5,
        box_noise_scale=0.4,  # DINO: 1.0
    ),
    test_cfg=dict(max_per_img=50),
)
