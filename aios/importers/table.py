# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Table of the readers."""

from __future__ import annotations

from .amass import AMASSImporter
from .importer import Importer
from .multi_hmr import MultiHMRImporter
from .phalp import PHALPImporter
from .sam_3d_body import SAM3DBodyImporter

IMPORTERS: dict[str, Importer] = {
    importer.name: importer
    for importer in (
        SAM3DBodyImporter(),
        MultiHMRImporter(),
        PHALPImporter(),
        AMASSImporter(),
    )
}
"""Readers by name, the choices of ``tools/params2mesh.py --from``."""
