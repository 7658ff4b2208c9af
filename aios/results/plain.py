# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Results as plain Python objects."""

from __future__ import annotations

from typing import Any

from .frame import FrameResult


def frame_as_dict(frame: FrameResult) -> dict[str, Any]:
    """Convert a frame to numbers, strings and lists, for example for JSON.

    Args:
        frame: The frame.

    Returns:
        ``name``, ``source_frame``, ``timestamp``, ``size``, ``K``,
        ``camera_origin``, ``focal_std`` (``None`` if unknown) and
        ``instances``: a list with the fields of
        :data:`aios.results.PERSON_FIELDS` of each person.
    """
    fields = {name: value.tolist() for name, value in frame.instances.items()}
    return {
        'name': frame.name,
        'source_frame': frame.source_frame,
        'timestamp': frame.timestamp,
        'size': list(frame.size),
        'K': frame.K.tolist(),
        **frame.camera_source,
        'instances': [
            dict(zip(fields, person, strict=True))
            for person in zip(*fields.values(), strict=True)
        ],
    }
