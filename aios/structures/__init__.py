# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pure data and maths: joints, tokens, rotations, cameras, boxes, meshes.

Modules neither read files nor register classes nor import other parts of the
package.  Modules that need PyTorch are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .boxes import (
    box_iou,
    boxes_overlap_image,
    clip_boxes,
    cxcywh_to_xyxy,
    generalized_box_iou,
    pairwise_iou,
    points_to_box,
    sanitize_xywh,
    scale_boxes,
    suppress_overlaps,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)
from .camera import (
    HALF_TURN,
    VIRTUAL_FOCAL,
    Camera,
    convert_virtual_camera,
    project_points,
    weak_perspective_to_translation,
)
from .joints import (
    COCO_17,
    COCO_WHOLEBODY_133,
    FACE_6,
    HUMAN_DATA_190,
    JOINT_SETS,
    LEFT_HAND_6,
    PELVIS,
    RIGHT_HAND_6,
    SMPL_22,
    SMPLX_55,
    SMPLX_127,
    SMPLX_137,
    SMPLX_144,
    SMPLX_ROTATIONS_53,
    JointSet,
    convert_joints,
    get_joint_set,
    joint_mapping,
)
from .mesh import Mesh, vertex_normals
from .sample import GENDER_NAMES, PARTS, PERSON_LABEL, POSE_JOINTS, POSE_ROWS
from .tokens import (
    BODY_LOCALIZATION,
    BODY_REFINEMENT,
    TOKEN_LAYOUTS,
    WHOLE_BODY,
    PartTokens,
    TokenLayout,
)

if TYPE_CHECKING:
    from .ground_truth import GT_FIELDS, GtField
    from .rotations import (
        axis_angle_to_matrix,
        flip_axis_angle,
        matrix_to_axis_angle,
        matrix_to_quaternion,
        matrix_to_rotation_6d,
        quaternion_to_axis_angle,
        rotation_6d_to_matrix,
    )

__all__ = [
    'BODY_LOCALIZATION',
    'BODY_REFINEMENT',
    'COCO_17',
    'COCO_WHOLEBODY_133',
    'FACE_6',
    'GENDER_NAMES',
    'GT_FIELDS',
    'HALF_TURN',
    'HUMAN_DATA_190',
    'JOINT_SETS',
    'LEFT_HAND_6',
    'PARTS',
    'PELVIS',
    'PERSON_LABEL',
    'POSE_JOINTS',
    'POSE_ROWS',
    'RIGHT_HAND_6',
    'SMPL_22',
    'SMPLX_55',
    'SMPLX_127',
    'SMPLX_137',
    'SMPLX_144',
    'SMPLX_ROTATIONS_53',
    'TOKEN_LAYOUTS',
    'VIRTUAL_FOCAL',
    'WHOLE_BODY',
    'Camera',
    'GtField',
    'JointSet',
    'Mesh',
    'PartTokens',
    'TokenLayout',
    'axis_angle_to_matrix',
    'box_iou',
    'boxes_overlap_image',
    'clip_boxes',
    'convert_joints',
    'convert_virtual_camera',
    'cxcywh_to_xyxy',
    'flip_axis_angle',
    'generalized_box_iou',
    'get_joint_set',
    'joint_mapping',
    'matrix_to_axis_angle',
    'matrix_to_quaternion',
    'matrix_to_rotation_6d',
    'pairwise_iou',
    'points_to_box',
    'project_points',
    'quaternion_to_axis_angle',
    'rotation_6d_to_matrix',
    'sanitize_xywh',
    'scale_boxes',
    'suppress_overlaps',
    'vertex_normals',
    'weak_perspective_to_translation',
    'xywh_to_xyxy',
    'xyxy_to_cxcywh',
    'xyxy_to_xywh',
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in __all__:
            for module in ('ground_truth', 'rotations'):
                found = import_module(f'.{module}', __name__)
                if hasattr(found, name):
                    return getattr(found, name)
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
