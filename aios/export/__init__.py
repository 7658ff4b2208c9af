# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Write results as parameters, meshes, animations (docs/en/export.md)."""

from .amass import write_amass
from .armatures import ARMATURES
from .bvh import write_bvh
from .exporter import Exporter
from .gltf import CORRECTIVES, GLBSummary, write_glb
from .keypoints import write_keypoints
from .mesh_files import write_obj, write_ply
from .meshes import AXES, person_meshes, write_meshes
from .mot import write_mot
from .table import EXPORTERS, exporters_by_flag

__all__ = [
    'ARMATURES',
    'AXES',
    'CORRECTIVES',
    'EXPORTERS',
    'Exporter',
    'GLBSummary',
    'exporters_by_flag',
    'person_meshes',
    'write_amass',
    'write_bvh',
    'write_glb',
    'write_keypoints',
    'write_meshes',
    'write_mot',
    'write_obj',
    'write_ply',
]
