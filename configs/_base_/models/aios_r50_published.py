# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS-R50 that is trained exactly as the published code trains it, with its
# oddities. Results of a trained model are the same with models/aios_r50.py.
_base_ = ['./aios_r50.py']

points_only = [
    dict(type='ClassCost', weight=2.0),
    dict(type='KeypointL1Cost', weight=10.0),
    dict(type='OKSCost', weight=4.0),
]

model = dict(
    bbox_head=dict(
        # Rotations start as zero matrices instead of as the identity.
        zero_rotation_init=True,
        criterion=dict(
            # Boxes do not matter where there are keypoints. A person
            # without a visible one is matched by score alone.
            assigner=dict(
                match_costs=dict(
                    body_refinement=points_only, whole_body=points_only
                ),
            ),
            person_losses=dict(
                # Faces are averaged over persons with a visible left hand.
                keypoints=dict(
                    type='PartKeypointLoss',
                    oks_area='body',
                    face_count='lhand',
                ),
                # Jaws are summed, not averaged.
                pose=dict(type='SMPLXPoseLoss', jaw_count='any'),
                joints2d=dict(type='SMPLXJoint2DLoss', square_confidence=True),
            ),
            # Divided by the queries of one image whatever the batch size;
            # images without persons have random boxes, which are targets.
            loss_denoising=dict(
                type='DenoisingLoss', avg_factor='queries', random_boxes=True
            ),
            # Only the number of persons is averaged over processes.
            sync_avg_factors=False,
            # A tenth of the usual weight in the last layer but one.
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
