# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# All stages and losses of AiOS with few layers, few persons and small images,
# for tests: it learns within minutes on two CPU cores. Not a benchmark.
# Numbers in comments are those of aios_r50.
_base_ = ['./aios_tiny.py', '../_base_/datasets/quickstart.py']

# The published loss weights assume a pretrained backbone. From random weights
# the sums over joints would dominate the box losses and delay detection.
body_weights = dict(
    lhand_bbox=1.0,  # 5
    lhand_giou=0.4,  # 2
    rhand_bbox=1.0,
    rhand_giou=0.4,
    face_bbox=1.0,
    face_giou=0.4,
    body_keypoints=1.0,  # 10
    body_oks=1.0,  # 4
    smplx_pose_root=0.5,  # 1
    smplx_pose_body=0.05,  # 0.1
    smplx_body_kp3d=0.1,  # 1
    smplx_body_kp3d_ra=0.0,  # 1; equals the line above
    smplx_body_kp2d=0.05,  # 1
)
hand_and_face_weights = dict(
    lhand_keypoints=0.1,  # 10
    lhand_oks=0.1,  # 0.5
    rhand_keypoints=0.1,
    rhand_oks=0.1,
    face_keypoints=0.1,
    face_oks=0.1,  # 4
    smplx_pose_lhand=0.02,  # 0.1
    smplx_pose_rhand=0.02,
    smplx_lhand_kp3d=0.006,  # 0.1
    smplx_rhand_kp3d=0.006,
    smplx_face_kp3d=0.006,
    smplx_lhand_kp3d_ra=0.02,  # 0.1
    smplx_rhand_kp3d_ra=0.02,
    smplx_face_kp3d_ra=0.02,
    smplx_lhand_kp2d=0.004,  # 0.5
    smplx_rhand_kp2d=0.004,
    smplx_face_kp2d=0.004,  # 0.1
)
model = dict(
    num_queries=30,  # 900
    encoder=dict(num_layers=1),  # 6
    decoder=dict(
        stages=[
            dict(layout='body_localization', num_layers=1),  # 2
            dict(layout='body_refinement', num_layers=1),
            dict(layout='whole_body', num_layers=1),
        ],
        num_persons=3,  # 100
    ),
    bbox_head=dict(
        criterion=dict(
            loss_weights=dict(
                body_refinement=body_weights,
                whole_body=dict(**body_weights, **hand_and_face_weights),
            ),
        ),
    ),
    dn_cfg=dict(num_queries=8),  # 100
    # After so few steps persons are still detected several times.
    test_cfg=dict(max_per_img=3, nms_iou_thr=0.5, person_class_only=True),
)
del body_weights, hand_and_face_weights

steps, warm_up, decay = 1000, 50, 500
optim_wrapper = dict(
    type='AsyncOptimWrapper',
    # Few steps from scratch: a higher rate than 1e-4, and beta2 below 0.999.
    optimizer=dict(
        type='AdamW',
        lr=1e-3,
        betas=(0.9, 0.99),
        weight_decay=1e-4,
        fused=True,
    ),
    clip_grad=dict(max_norm=5.0, norm_type=2),  # 0.1
    # A low rate keeps sampling locations stable, as in Deformable DETR.
    paramwise_cfg=dict(custom_keys=dict(sampling_offsets=dict(lr_mult=0.1))),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=200)
param_scheduler = [
    dict(
        type='LinearLR',
        by_epoch=False,
        start_factor=1 / warm_up,
        begin=0,
        end=warm_up,
    ),
    dict(
        type='LinearLR',
        by_epoch=False,
        start_factor=1.0,
        end_factor=0.01,
        begin=decay,
        end=steps,
    ),
]
default_hooks = dict(
    # Metrics are logged by iteration, for the learning curve.
    logger=dict(interval=25, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=200, max_keep_ckpts=2),
)
log_processor = dict(by_epoch=False)
custom_hooks = [
    # Weights averaged over about 200 steps detect more persons.
    dict(
        type='EMAHook',
        ema_type='MomentumAnnealingEMA',
        momentum=0.005,
        gamma=10,  # shorter averages at the beginning
        update_buffers=True,
        priority=49,
    ),
    dict(type='StepSeedHook'),
    dict(type='ResumeFallbackHook'),
]
visualizer = dict(body_model=dict(type='SMPLXLayer', model_path='free'))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
randomness = dict(seed=42)
del steps, warm_up, decay
