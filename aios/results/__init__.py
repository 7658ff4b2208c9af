# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The results: persons of a frame, and of a video or a set of images.

:class:`FrameResult` goes from the network through tracking and smoothing to
the writers; :class:`SequenceResult` is the file ``params.npz``
(``docs/en/export.md``).  Both hold the fields of :data:`PERSON_FIELDS`.
:class:`RunRecord` is the file ``run.json``, which records the settings.
"""

from .frame import FrameResult
from .meshes import instance_color, instance_mesh
from .predictions import (
    as_array,
    finite_instances,
    finite_predictions_of,
    finite_rows,
    predictions_of,
)
from .run_record import RunRecord, read_cameras
from .schema import (
    APPEARANCE_SHAPE,
    CAMERA_ORIGINS,
    FRAME_FIELDS,
    MESH_BODIES,
    PERSON_FIELDS,
    SMPLX_ARGUMENTS,
    complete_instances,
)
from .sequence import SequenceResult

__all__ = [
    'APPEARANCE_SHAPE',
    'CAMERA_ORIGINS',
    'FRAME_FIELDS',
    'MESH_BODIES',
    'PERSON_FIELDS',
    'SMPLX_ARGUMENTS',
    'FrameResult',
    'RunRecord',
    'SequenceResult',
    'as_array',
    'complete_instances',
    'finite_instances',
    'finite_predictions_of',
    'finite_rows',
    'instance_color',
    'instance_mesh',
    'predictions_of',
    'read_cameras',
]
