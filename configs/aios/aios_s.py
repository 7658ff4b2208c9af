# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Small AiOS with a MoveNet backbone, the model included in the package
# (docs/en/aios_s.md). projects/free_model trains it. Numbers in comments are
# those of aios_r50.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/aios_r50.py']

width = 64
attention = dict(embed_dims=width, num_heads=4)
deformable_attention = dict(
    embed_dims=width, num_heads=4, num_levels=3, num_points=2
)
ffn = dict(embed_dims=width, feedforward_channels=2 * width)

# More balanced than the published weights, which are for a trained backbone
# and a hundred times as many steps.
body_weights = dict(
    lhand_bbox=1.0,  # 5
    lhand_giou=0.4,  # 2
    rhand_bbox=1.0,
    rhand_giou=0.4,
    face_bbox=1.0,
    face_giou=0.4,
    body_keypoints=2.0,  # 10
    body_oks=2.0,  # 4
    smplx_pose_body=0.3,  # 0.1
    smplx_body_kp3d=0.5,  # 1
    smplx_body_kp3d_ra=0.0,  # 1; equals the line above
    smplx_body_kp2d=0.5,  # 1
)
hand_and_face_weights = dict(
    lhand_keypoints=0.3,  # 10
    lhand_oks=0.2,  # 0.5
    rhand_keypoints=0.3,
    rhand_oks=0.2,
    face_keypoints=0.3,
    face_oks=0.2,  # 4
    smplx_pose_lhand=0.05,  # 0.1
    smplx_pose_rhand=0.05,
    smplx_lhand_kp3d=0.006,  # 0.1
    smplx_rhand_kp3d=0.006,
    smplx_face_kp3d=0.006,
    smplx_lhand_kp3d_ra=0.05,  # 0.1
    smplx_rhand_kp3d_ra=0.05,
    smplx_face_kp3d_ra=0.05,
    smplx_lhand_kp2d=0.01,  # 0.5
    smplx_rhand_kp2d=0.01,
    smplx_face_kp2d=0.01,  # 0.1
)
model = dict(
    num_queries=40,  # 900
    num_feature_levels=3,  # 4
    # MoveNet's normalization: x / 127.5 - 1
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, pad_value=-1),
    backbone=dict(_delete_=True, type='MoveNet', pose_maps=True),
    neck=dict(
        in_channels=[90, 272, 304],
        out_channels=width,
        num_outs=3,
    ),
    positional_encoding=dict(num_feats=width // 2),
    encoder=dict(
        num_layers=1,  # 6
        layer_cfg=dict(self_attn_cfg=deformable_attention, ffn_cfg=ffn),
    ),
    decoder=dict(
        stages=[
            dict(layout='body_localization', num_layers=1),  # 2
            dict(layout='body_refinement', num_layers=2),
            dict(layout='whole_body', num_layers=1),
        ],
        num_persons=10,  # 100
        # One layer with few candidates cannot suppress duplicates.
        nms_iou_thr=0.7,
        # MoveNet was trained on real images.
        pose_prior=dict(score_weight=0.8, score_bias=-0.44),
        layer_cfg=dict(
            self_attn_cfg=attention,
            cross_attn_cfg=deformable_attention,
            ffn_cfg=ffn,
        ),
    ),
    bbox_head=dict(
        embed_dims=width,
        body_model=dict(model_path='free'),
        # Not in the paper.
        box_relative=True,
        smplx_hidden_dims=256,
        pose_lifter=dict(share=0.65),
        criterion=dict(
            loss_weights=dict(
                body_refinement=body_weights,
                whole_body=dict(**body_weights, **hand_and_face_weights),
            ),
        ),
    ),
    dn_cfg=dict(num_queries=8),  # 100
    test_cfg=dict(
        max_per_img=20,  # 50
        # MoveNet detects persons of up to 256 pixels.
        pyramid=[
            dict(scale=1.0, max_size=256),
            dict(scale=0.3478, min_size=64),
        ],
        nms_iou_thr=0.6,
        nms_oks_thr=0.4,
        nms_head_thr=0.25,
        person_class_only=True,
        keypoint_fit_steps=4,
    ),
)
del attention, deformable_attention, ffn
del body_weights, hand_and_face_weights

body_model = dict(type='SMPLXLayer', model_path='free')
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='HumanDataset',
        data_root='data/synthetic/look/',
        ann_file='humandata.npz',
        metainfo=dict(body_model=body_model),
        test_mode=True,
        # The same image size as for photographs.
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadHumanAnnotations'),
            dict(
                type='WholeBodyResize',
                scale=(736, 552),  # (1333, 800)
                enlarged_scale=(640, 480),
                backend='area',
            ),
            dict(type='PackWholeBodyInputs'),
        ],
    ),
)
test_evaluator = dict(type='WholeBodyMetric', body_model=body_model)
test_cfg = dict(type='TestLoop')
