# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Table of the file formats."""

from __future__ import annotations

from .amass import AMASSExporter
from .bvh import BVHExporter
from .exporter import Exporter
from .gltf import GLBExporter
from .keypoints import KeypointsExporter
from .meshes import MeshExporter
from .mot import MOTExporter
from .params import ParamsExporter

EXPORTERS: dict[str, Exporter] = {
    exporter.name: exporter
    for exporter in (
        GLBExporter(),
        BVHExporter(),
        AMASSExporter(),
        MeshExporter('obj', 'a mesh per person and frame'),
        MeshExporter('ply', 'the same, binary and with colors'),
        KeypointsExporter(),
        MOTExporter(),
        ParamsExporter(),
    )
}
"""Formats by name, for the demos and ``tools/params2mesh.py``."""


def exporters_by_flag() -> dict[str, list[Exporter]]:
    """Formats of runs by the option of the demos."""
    formats: dict[str, list[Exporter]] = {}
    for exporter in EXPORTERS.values():
        if exporter.flag:
            formats.setdefault(exporter.flag, []).append(exporter)
    return formats
