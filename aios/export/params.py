# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Results as ``params.npz``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aios.results import SequenceResult

from .exporter import Exporter


class ParamsExporter(Exporter):
    """The file of :meth:`aios.results.SequenceResult.load`."""

    name, suffix, needs_body = 'npz', '.params.npz', False
    about = 'results of this package, after --from, --frames or --ids'

    def write(  # noqa: D102
        self, sequence: SequenceResult, layer: Any, path: Path, **options: Any
    ) -> None:
        sequence.save(path, options['overwrite'])
