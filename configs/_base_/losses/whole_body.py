# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Losses of AiOS and their published weights, per decoder output. Quirks of the
# published code are in models/aios_r50_published.py only.
boxes = [
    dict(type='ClassCost', weight=2.0),
    dict(type='PersonBoxL1Cost', weight=5.0),
    dict(type='GIoUCost', weight=2.0),
]
boxes_and_points = [
    *boxes,
    dict(type='KeypointL1Cost', weight=10.0),
    dict(type='OKSCost', weight=4.0),
]

body_box = dict(cls=2.0, body_bbox=5.0, body_giou=2.0)
denoising = dict(dn_cls=0.3, dn_bbox=2.5, dn_giou=1.0)  # DINO: 1, 5, 2
body = dict(
    lhand_bbox=5.0,
    lhand_giou=2.0,
    rhand_bbox=5.0,
    rhand_giou=2.0,
    face_bbox=5.0,
    face_giou=2.0,
    body_keypoints=10.0,
    body_oks=4.0,
    smplx_pose_root=1.0,
    smplx_pose_body=0.1,
    smplx_betas=0.01,
    smplx_body_kp3d=1.0,
    smplx_body_kp3d_ra=1.0,
    smplx_body_kp2d=1.0,
)
hands_and_face = dict(
    lhand_keypoints=10.0,
    lhand_oks=0.5,
    rhand_keypoints=10.0,
    rhand_oks=0.5,
    face_keypoints=10.0,
    face_oks=4.0,
    smplx_pose_lhand=0.1,
    smplx_pose_rhand=0.1,
    smplx_pose_jaw=0.1,
    smplx_expression=0.01,
    smplx_lhand_kp3d=0.1,
    smplx_rhand_kp3d=0.1,
    smplx_face_kp3d=0.1,
    smplx_lhand_kp3d_ra=0.1,
    smplx_rhand_kp3d_ra=0.1,
    smplx_face_kp3d_ra=0.1,
    smplx_lhand_kp2d=0.5,
    smplx_rhand_kp2d=0.5,
    smplx_face_kp2d=0.1,
)

criterion = dict(
    type='WholeBodyCriterion',
    assigner=dict(
        type='BatchHungarianAssigner',
        match_costs=dict(
            encoder=boxes,
            body_localization=boxes,
            body_refinement=boxes_and_points,
            whole_body=boxes_and_points,
        ),
    ),
    loss_cls=dict(type='SigmoidFocalLoss', gamma=2.0, alpha=0.25),
    loss_weights=dict(
        encoder=body_box,
        body_localization=dict(**body_box, **denoising),
        # Hands and face have boxes at this stage, but no keypoints or poses.
        body_refinement=dict(**body_box, **denoising, **body),
        whole_body=dict(**body_box, **denoising, **body, **hands_and_face),
    ),
)
del boxes, boxes_and_points, body_box, denoising, body, hands_and_face
