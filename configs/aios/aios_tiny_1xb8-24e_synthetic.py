# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# A tiny model on small synthetic images, without licensed files. It is for
# tutorials and tests, and trains in minutes on a CPU. Numbers in comments are
# those of aios_r50.
_base_ = [
    './aios_tiny.py',
    '../_base_/datasets/synthetic_small.py',
]

# The published loss weights assume a pretrained backbone. From random weights
# the sums over joints would dominate the box losses and delay detection.
body_weights = dict(
    body_keypoints=1.0,  # 10
    body_oks=1.0,  # 4
    smplx_body_kp3d=0.3,  # 1
    smplx_body_kp3d_ra=0.0,  # 1; equals the line above
    smplx_body_kp2d=0.1,  # 1
)
hand_and_face_weights = dict(
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
)
model = dict(
    bbox_head=dict(
        criterion=dict(
            loss_weights=dict(
                body_refinement=body_weights,
                whole_body=dict(**body_weights, **hand_and_face_weights),
            ),
        ),
    ),
)
del body_weights, hand_and_face_weights

optim_wrapper = dict(
    type='AsyncOptimWrapper',
    # From scratch: a higher rate than 1e-4, the same for all parameters.
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=5.0, norm_type=2),  # 0.1
)
train_cfg = dict(
    type='EpochBasedTrainLoop',
    max_epochs=24,  # 800 images each
    val_interval=4,
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(
        type='MultiStepLR',
        begin=0,
        end=24,
        by_epoch=True,
        milestones=[18],
        gamma=0.1,
    ),
]
default_hooks = dict(
    logger=dict(interval=20),  # 50
    checkpoint=dict(interval=4, save_best='whole_body/F1', rule='greater'),
)
custom_hooks = [dict(type='StepSeedHook'), dict(type='ResumeFallbackHook')]
visualizer = dict(body_model=dict(type='SMPLXLayer', model_path='free'))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
randomness = dict(seed=42)
# USER SHOULD NOT CHANGE base_batch_size: (1 process) x (8 images)
auto_scale_lr = dict(enable=False, base_batch_size=8)
