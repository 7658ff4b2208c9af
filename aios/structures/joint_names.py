# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Names of the joints of every convention, in order.

Regular parts (fingers, eyes, mouth) are generated, so that left and right
cannot differ.  Orders follow the SMPL-X body model output, mmhuman3d's
HumanData and COCO-WholeBody.
"""

from __future__ import annotations

FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')
# SMPL-X stores the finger joints in this order.
_SMPLX_FINGERS = ('index', 'middle', 'pinky', 'ring', 'thumb')


def _numbered(stem: str, numbers: range) -> tuple[str, ...]:
    return tuple(f'{stem}_{i}' for i in numbers)


def _smplx_hand(side: str) -> tuple[str, ...]:
    """15 finger joints of one hand in SMPL-X order."""
    return tuple(
        name
        for finger in _SMPLX_FINGERS
        for name in _numbered(f'{side}_{finger}', range(1, 4))
    )


def _tips(side: str) -> tuple[str, ...]:
    return tuple(f'{side}_{finger}' for finger in FINGERS)


def _hand_20(side: str) -> tuple[str, ...]:
    """Three joints and the tip of each finger, thumb first (137 set)."""
    return tuple(
        name
        for finger in FINGERS
        for name in (
            *_numbered(f'{side}_{finger}', range(1, 4)),
            f'{side}_{finger}',
        )
    )


_BODY_22 = (
    *('pelvis', 'left_hip', 'right_hip', 'spine_1'),
    *('left_knee', 'right_knee', 'spine_2', 'left_ankle', 'right_ankle'),
    *('spine_3', 'left_foot', 'right_foot', 'neck'),
    *('left_collar', 'right_collar', 'head'),
    *('left_shoulder', 'right_shoulder', 'left_elbow', 'right_elbow'),
    *('left_wrist', 'right_wrist'),
)

SMPLX_55_NAMES = (
    *_BODY_22,
    *('jaw', 'left_eyeball', 'right_eyeball'),
    *_smplx_hand('left'),
    *_smplx_hand('right'),
)

_VERTEX_JOINT_NAMES = (
    *('nose', 'right_eye', 'left_eye', 'right_ear', 'left_ear'),
    *('left_bigtoe', 'left_smalltoe', 'left_heel'),
    *('right_bigtoe', 'right_smalltoe', 'right_heel'),
    *_tips('left'),
    *_tips('right'),
)

NOSE_BRIDGE_4 = _numbered('nosebridge', range(1, 5))
NOSE_5 = (
    *('right_nose_2', 'right_nose_1', 'nose_middle'),
    *('left_nose_1', 'left_nose_2'),
)
OUTER_MOUTH_12 = (
    *_numbered('right_mouth', range(1, 4)),
    'mouth_top',
    *('left_mouth_3', 'left_mouth_2', 'left_mouth_1'),
    *('left_mouth_5', 'left_mouth_4', 'mouth_bottom'),
    *('right_mouth_4', 'right_mouth_5'),
)
INNER_MOUTH_8 = (
    *('right_lip_1', 'right_lip_2', 'lip_top'),
    *('left_lip_2', 'left_lip_1', 'left_lip_3'),
    *('lip_bottom', 'right_lip_3'),
)

_STATIC_LANDMARKS_51 = (
    *_numbered('right_eyebrow', range(1, 6)),
    *_numbered('left_eyebrow', range(5, 0, -1)),
    *NOSE_BRIDGE_4,
    *NOSE_5,
    *_numbered('right_eye', range(1, 7)),
    *('left_eye_4', 'left_eye_3', 'left_eye_2', 'left_eye_1'),
    *('left_eye_6', 'left_eye_5'),
    *OUTER_MOUTH_12,
    *INNER_MOUTH_8,
)

CONTOUR_17 = (
    *_numbered('right_contour', range(1, 9)),
    'contour_middle',
    *_numbered('left_contour', range(8, 0, -1)),
)

SMPLX_144_NAMES = (
    *SMPLX_55_NAMES,
    *_VERTEX_JOINT_NAMES,
    *_STATIC_LANDMARKS_51,
    *CONTOUR_17,
)

SMPLX_137_NAMES = (
    *('pelvis', 'left_hip', 'right_hip', 'left_knee', 'right_knee'),
    *('left_ankle', 'right_ankle', 'neck', 'left_shoulder', 'right_shoulder'),
    *('left_elbow', 'right_elbow', 'left_wrist', 'right_wrist'),
    *('left_bigtoe', 'left_smalltoe', 'left_heel'),
    *('right_bigtoe', 'right_smalltoe', 'right_heel'),
    *('left_ear', 'right_ear', 'left_eye', 'right_eye', 'nose'),
    *_hand_20('left'),
    *_hand_20('right'),
    # The eye *vertices* occur twice in this set (22/23 and 67/68); look-ups
    # by name return the first.
    *('jaw', 'head', 'left_eye', 'right_eye'),
    *_STATIC_LANDMARKS_51,
    *CONTOUR_17,
)

_EXTRA_9 = tuple(
    f'{name}_extra' if name != 'headtop' else name
    for name in (
        *('right_hip', 'left_hip', 'neck', 'headtop', 'pelvis'),
        *('thorax', 'spine', 'jaw', 'head'),
    )
)

_OPENPOSE_25 = tuple(
    f'{name}_openpose'
    for name in (
        *('nose', 'neck', 'right_shoulder', 'right_elbow', 'right_wrist'),
        *('left_shoulder', 'left_elbow', 'left_wrist', 'pelvis'),
        *('right_hip', 'right_knee', 'right_ankle'),
        *('left_hip', 'left_knee', 'left_ankle'),
        *('right_eye', 'left_eye', 'right_ear', 'left_ear'),
        *('left_bigtoe', 'left_smalltoe', 'left_heel'),
        *('right_bigtoe', 'right_smalltoe', 'right_heel'),
    )
)

_OTHERS_12 = (
    *('spine_4_3dhp', 'left_clavicle_3dhp', 'right_clavicle_3dhp'),
    *('left_hand_3dhp', 'right_hand_3dhp', 'left_toe_3dhp', 'right_toe_3dhp'),
    *('head_h36m', 'headtop_h36m', 'head_bottom_pt'),
    *('left_hand', 'right_hand'),
)

HUMAN_DATA_190_NAMES = (
    *SMPLX_144_NAMES,
    *_EXTRA_9,
    *_OPENPOSE_25,
    *_OTHERS_12,
)

COCO_17_NAMES = (
    *('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear'),
    *('left_shoulder', 'right_shoulder', 'left_elbow', 'right_elbow'),
    # HumanData distinguishes annotated hips from those of SMPL-X.
    *('left_wrist', 'right_wrist', 'left_hip_extra', 'right_hip_extra'),
    *('left_knee', 'right_knee', 'left_ankle', 'right_ankle'),
)

LANDMARK_68_NAMES = (*CONTOUR_17, *_STATIC_LANDMARKS_51)

COCO_WHOLEBODY_133_NAMES = (
    *COCO_17_NAMES,
    *('left_bigtoe', 'left_smalltoe', 'left_heel'),
    *('right_bigtoe', 'right_smalltoe', 'right_heel'),
    *LANDMARK_68_NAMES,
    'left_hand_root',
    *_hand_20('left'),
    'right_hand_root',
    *_hand_20('right'),
)


def _mhr_hand(side: str) -> tuple[str, ...]:
    """20 joints of one hand, each finger from its tip, and the wrist."""
    fingers = (
        name
        for finger in FINGERS
        for name in (
            f'{side}_{finger}',
            *_numbered(f'{side}_{finger}', range(3, 0, -1)),
        )
    )
    return (*fingers, f'{side}_wrist')


# Keypoints of SAM 3D Body, from its sam_3d_body/metadata/mhr70.py.
MHR_70_NAMES = (
    *COCO_17_NAMES[:9],
    *('left_hip', 'right_hip', *COCO_17_NAMES[13:]),
    *('left_bigtoe', 'left_smalltoe', 'left_heel'),
    *('right_bigtoe', 'right_smalltoe', 'right_heel'),
    *_mhr_hand('right'),
    *_mhr_hand('left'),
    *('left_olecranon', 'right_olecranon'),
    *('left_cubital_fossa', 'right_cubital_fossa'),
    *('left_acromion', 'right_acromion', 'neck'),
)

FACE_6_NAMES = (
    *('nose', 'mouth_top', 'jaw'),
    *('right_contour_1', 'contour_middle', 'left_contour_1'),
)

SMPLX_ROTATION_53_NAMES = (
    *_BODY_22,
    *_smplx_hand('left'),
    *_smplx_hand('right'),
    'jaw',
)


def hand_6_names(side: str) -> tuple[str, ...]:
    """Wrist and the five finger tips of one hand.

    Args:
        side: ``'left'`` or ``'right'``.

    Returns:
        The six names, thumb first after the wrist.
    """
    return (f'{side}_wrist', *_tips(side))
