# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Results as files: parameters, meshes, animations (docs/en/export.md)."""

# The results come first: packages that the writers need import them.
from .people import FrameResult, PeopleSequence
from .schema import PERSON_FIELDS, SMPLX_ARGUMENTS, complete_people

from .amass import write_amass  # isort: skip
from .bvh import write_bvh  # isort: skip
from .exporter import Exporter  # isort: skip
from .gltf import CORRECTIVES, GLBSummary, write_glb  # isort: skip
from .keypoints import KeypointsWriter, write_keypoints  # isort: skip
from .meshes import AXES, person_meshes, write_meshes  # isort: skip
from .mot import write_mot  # isort: skip
from .ply import write_ply  # isort: skip
from .table import EXPORTERS, exporters_by_flag  # isort: skip

__all__ = [
    'AXES',
    'CORRECTIVES',
    'EXPORTERS',
    'PERSON_FIELDS',
    'SMPLX_ARGUMENTS',
    'Exporter',
    'FrameResult',
    'GLBSummary',
    'KeypointsWriter',
    'PeopleSequence',
    'complete_people',
    'exporters_by_flag',
    'person_meshes',
    'write_amass',
    'write_bvh',
    'write_glb',
    'write_keypoints',
    'write_meshes',
    'write_mot',
    'write_ply',
]
