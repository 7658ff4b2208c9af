# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Trains AiOS-R50 exactly as the published code does, including its quirks. For
# inference it is equivalent to models/aios_r50.py.
_base_ = ['./aios_r50.py']

points_only = [
    dict(type='ClassCost', weight=2.0),
    dict(type='KeypointL1Cost', weight=10.0),
    dict(type='OKSCost', weight=4.0),
]

model = dict(
    bbox_head=dict(
        # Initial rotations are zero matrices, not the identity.
        zero_rotation_init=True,
        criterion=dict(
            # Box costs are omitted at outputs with keypoints. Persons without
            # visible keypoints are matched by score only.
            assigner=dict(
                match_costs=dict(
                    body_refinement=points_only, whole_body=points_only
                ),
            ),
            person_losses=dict(
                # Divides face losses by persons with a visible left hand.
                keypoints=dict(
                    type='PartKeypointLoss',
                    oks_area='body',
                    face_count='lhand',
                ),
                # Sums jaw losses instead of averaging them.
                pose=dict(type='SMPLXPoseLoss', jaw_count='any'),
                joints2d=dict(type='SMPLXJoint2DLoss', square_confidence=True),
            ),
            # Divides by the queries of one image at any batch size; images
            # without persons get random boxes as targets.
            loss_denoising=dict(
                type='DenoisingLoss', avg_factor='queries', random_boxes=True
            ),
            # Averages only the number of persons over processes.
            sync_avg_factors=False,
            # The second-to-last layer has a tenth of the usual weights.
            loss_weights=dict(
                d4=dict(
                    smplx_lhand_kp3d=0.01,
                    smplx_rhand_kp3d=0.01,
                    smplx_face_kp3d=0.01,
                    smplx_lhand_kp2d=0.05,
                    smplx_rhand_kp2d=0.05,
                ),
            ),
        ),
    ),
)
del points_only
