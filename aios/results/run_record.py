# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``run.json``: the settings of a run."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aios.utils.json_record import read_record, write_record
from aios.utils.safe_io import CorruptFileError, load_npz
from aios.version import __version__

RECORD = 'run.json'
_FIELDS = dict(
    fingerprint=dict,
    presentation=dict,
    folders=list,
    complete=bool,
    aios_version=str,
)


@dataclass
class RunRecord:
    """Settings and state of a run.

    Args:
        fingerprint: Settings that results depend on, by name.
        presentation: Settings that only images and exported files depend on.
        folders: Folders of the sources, relative.
        complete: Whether the run is finished.
        cameras: By folder, see :func:`read_cameras`.
        problems: By folder, messages about unreadable files and frames.
    """

    fingerprint: dict[str, Any]
    presentation: dict[str, Any]
    folders: list[str] = field(default_factory=lambda: ['.'])
    complete: bool = False
    cameras: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    aios_version: str = __version__

    def save(self, folder: Path) -> None:
        """Write ``run.json`` into a folder."""
        write_record(folder / RECORD, self.__dict__)

    @classmethod
    def load(cls, folder: Path) -> RunRecord | None:
        """Read ``run.json`` of a folder; ``None`` if there is none.

        Raises:
            ValueError: If the file is damaged.
        """
        path = folder / RECORD
        if not path.exists():
            return None
        record = read_record(path, _FIELDS)
        for number, name in enumerate(record['folders']):
            if not isinstance(name, str):
                raise CorruptFileError(
                    f'{path}: damaged (folders[{number}] must be text, got '
                    f'{name!r:.80})'
                )
        problems = record.get('problems', {})
        if not isinstance(problems, dict) or not all(
            isinstance(texts, list) for texts in problems.values()
        ):
            raise CorruptFileError(
                f'{path}: damaged (problems must hold lists)'
            )
        return cls(
            **{name: record[name] for name in _FIELDS},
            cameras=record.get('cameras', {}),
            problems={k: [*map(str, texts)] for k, texts in problems.items()},
        )


def read_cameras(path: Path) -> list[dict[str, Any]]:
    """Summarize the cameras of a result file for ``run.json``.

    Args:
        path: ``params.npz``.

    Returns:
        For each camera ``K``, ``camera_origin``, ``focal_std`` (``None`` if
        unknown), ``image_size`` and the number of ``frames``.
    """
    fields = ('K', 'camera_origin', 'focal_std', 'image_sizes')
    arrays = load_npz(path, fields)
    rows = zip(*(arrays[name].tolist() for name in fields), strict=True)
    # JSON strings are hashable, lists are not; JSON has no NaN.
    cameras = Counter(
        json.dumps([K, origin, None if math.isnan(std) else std, size])
        for K, origin, std, size in rows
    )
    names = ('K', 'camera_origin', 'focal_std', 'image_size')
    return [
        dict(zip(names, json.loads(camera), strict=True), frames=count)
        for camera, count in cameras.items()
    ]
