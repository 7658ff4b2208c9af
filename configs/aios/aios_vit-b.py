# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS with a plain ViT-B of MMPreTrain (pip install onedl-mmpretrain).
# The feature pyramid is computed from its last feature map, as in ViTDet.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/aios_r50.py']

custom_imports = dict(imports=['mmpretrain.models'])
pretrained = 'https://mmassets.onedl.ai/mmselfsup/1.x/mae/mae_vit-base-p16_8xb512-fp16-coslr-800e_in1k/mae_vit-base-p16_8xb512-coslr-800e-fp16_in1k_20220825-5d81fbc4.pth'  # noqa: E501
model = dict(
    # Image sizes must be multiples of the patch size.
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='base',
        img_size=224,  # position embeddings are resized to each image
        patch_size=16,
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained', checkpoint=pretrained, prefix='backbone.'
        ),
    ),
    neck=dict(
        _delete_=True,
        type='SimpleFeaturePyramid',
        in_channels=768,
        out_channels=256,
    ),
)
