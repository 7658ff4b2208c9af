# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Bodies of a single decoder layer."""

from __future__ import annotations

from typing import Any

from aios.body_models import SMPLXOutput
from aios.models.heads import AiOSHead
from aios.models.heads.outputs import SMPLXParams


def pose_bodies(
    head: AiOSHead,
    params: SMPLXParams,
    layout: str,
    joint_set: str = 'smplx_137',
    **options: Any,
) -> SMPLXOutput:
    """Pose bodies; parts that the stage does not predict are omitted."""
    inputs = params.body_model_inputs(
        hands_and_face=layout in head.hands_and_face_stages
    )
    return head.body_model(**inputs, joint_set=joint_set, **options)
