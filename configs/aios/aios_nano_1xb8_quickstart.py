# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# What tools/quickstart.sh trains: every stage and every loss of AiOS, but few
# layers, few persons and small pictures, so that minutes on two CPU cores are
# enough to see it learn. Not a benchmark.
_base_ = ['./aios_tiny.py', '../_base_/datasets/quickstart.py']

model = dict(
    num_queries=50,
    encoder=dict(num_layers=1),
    decoder=dict(
        stages=[
            dict(layout='body_localization', num_layers=1),
            dict(layout='body_refinement', num_layers=1),
            dict(layout='whole_body', num_layers=1),
        ],
        num_persons=8,
    ),
    bbox_head=dict(
        criterion=dict(
            # The published weights suit a backbone that knows pictures. From
            # random weights the sums over joints drown the boxes, and nobody
            # is found for a long time.
            loss_weights=dict(
                body_refinement=dict(
                    body_keypoints=1.0,  # 10
                    body_oks=1.0,  # 4
                    smplx_body_kp3d=0.3,  # 1
                    smplx_body_kp3d_ra=0.0,  # 1; the same as the line above
                    smplx_body_kp2d=0.1,  # 1
                ),
                whole_body=dict(
                    body_keypoints=1.0,
                    body_oks=1.0,
                    smplx_body_kp3d=0.3,
                    smplx_body_kp3d_ra=0.0,
                    smplx_body_kp2d=0.1,
                    lhand_keypoints=0.5,  # 10
                    rhand_keypoints=0.5,
                    face_keypoints=0.5,
                    face_oks=0.5,  # 4
                    smplx_pose_lhand=0.02,  # 0.1
                    smplx_pose_rhand=0.02,
                    smplx_lhand_kp3d=0.03,  # 0.1
                    smplx_rhand_kp3d=0.03,
                    smplx_face_kp3d=0.03,
                    smplx_lhand_kp2d=0.02,  # 0.5
                    smplx_rhand_kp2d=0.02,
                    smplx_face_kp2d=0.02,  # 0.1
                ),
            ),
        ),
    ),
    # So early in training people are still found several times.
    test_cfg=dict(max_per_img=8, nms_iou_thr=0.5, person_class_only=True),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=5.0, norm_type=2),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=250)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=50,
        end=1000,
        eta_min_ratio=0.01,
    ),
]
default_hooks = dict(
    # validations are counted in steps, for the learning curve
    logger=dict(interval=25, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=250, max_keep_ckpts=2),
)
log_processor = dict(by_epoch=False)
custom_hooks = [dict(type='StepSeedHook'), dict(type='ResumeFallbackHook')]
visualizer = dict(body_model=dict(type='SMPLXLayer', model_path='free'))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
randomness = dict(seed=42)
