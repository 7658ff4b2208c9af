# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Results as files: parameters, meshes, animations (docs/en/export.md)."""

from .people import FrameResult, PeopleSequence
from .schema import PERSON_FIELDS, SMPLX_ARGUMENTS, complete_people

__all__ = [
    'PERSON_FIELDS',
    'SMPLX_ARGUMENTS',
    'FrameResult',
    'PeopleSequence',
    'complete_people',
]
