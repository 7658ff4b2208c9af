# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The folder of a run: what it was made with, and whether it may go on."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aios.export import EXPORTERS
from aios.utils.json_record import read_record, write_record
from aios.utils.run_folder import begin_run
from aios.utils.safe_io import (
    CorruptFileError,
    load_npz,
    remove_half_written,
)
from aios.version import __version__

__all__ = [
    'RunRecord',
    'prepare_folder',
    'products',
    'read_cameras',
    'remove_record',
]

RECORD = 'run.json'
_PRODUCTS = (
    'ground.json',
    'params',
    'params.npz',
    'parts',
    'vis',
    'vis.final.mp4',
    'vis.mp4',
    'vis.partial.mp4',
)

_FIELDS = dict(
    fingerprint=dict,
    presentation=dict,
    folders=list,
    complete=bool,
    aios_version=str,
)


@dataclass
class RunRecord:
    """What a run was made with.

    Args:
        fingerprint: What results depend on, by name.
        presentation: What the pictures and files made of them depend on.
        folders: Folders of the sources, relative.
        complete: Whether it is finished.
        cameras: By folder, see :func:`read_cameras`.
    """

    fingerprint: dict[str, Any]
    presentation: dict[str, Any]
    folders: list[str] = field(default_factory=lambda: ['.'])
    complete: bool = False
    cameras: dict[str, Any] = field(default_factory=dict)
    aios_version: str = __version__

    def save(self, folder: Path) -> None:
        """Write it."""
        write_record(folder / RECORD, self.__dict__)

    @classmethod
    def load(cls, folder: Path) -> RunRecord | None:
        """Read it; ``None`` if there is none.

        Raises:
            ValueError: If it is damaged.
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
        return cls(
            **{name: record[name] for name in _FIELDS},
            cameras=record.get('cameras', {}),
        )


def prepare_folder(
    folder: Path, record: RunRecord, overwrite: bool, resume: bool
) -> RunRecord | None:
    """Make the folder of a run, or check that the run there may go on.

    Args:
        folder: Where results go.
        record: Of the run that is to be.
        overwrite: Remove results of an earlier run.
        resume: Go on with an earlier run, if there is one.

    Returns:
        The record of the run that goes on; ``None`` for a new one.

    Raises:
        FileExistsError: If the folder is not empty.
        ValueError: If the run there is another one.
    """
    earlier = RunRecord.load(folder)
    inner = earlier.folders if earlier is not None else []
    resumed = begin_run(
        folder,
        RECORD,
        record.__dict__,
        resume=resume,
        overwrite=overwrite,
        clear=lambda: _remove_products(folder, inner),
        compared=['fingerprint'],
    )
    if earlier is None or not resumed:
        return None
    remove_half_written(folder, recursive=True)
    if earlier.presentation != record.presentation:
        if earlier.complete:
            raise ValueError(
                f'{folder}: the run there is complete. '
                'tools/params2mesh.py makes other files of it; '
                '--overwrite (overwrite=True) does it all again'
            )
        # They are made anew from the parts; others must not stay.
        _remove_products(folder, earlier.folders, keep=('parts',))
        record.save(folder)
    return earlier


def read_cameras(path: Path) -> list[dict[str, Any]]:
    """Cameras of a file of results, for people who read ``run.json``.

    Args:
        path: ``params.npz``.

    Returns:
        Of each camera ``K``, ``camera_origin``, ``focal_std`` (``None`` if
        unknown), ``image_size`` and the number of ``frames``.
    """
    fields = ('K', 'camera_origin', 'focal_std', 'image_sizes')
    arrays = load_npz(path, fields)
    rows = zip(*(arrays[name].tolist() for name in fields), strict=True)
    # JSON, because lists cannot be counted; it has no NaN.
    cameras = Counter(
        json.dumps([K, origin, None if math.isnan(std) else std, size])
        for K, origin, std, size in rows
    )
    names = ('K', 'camera_origin', 'focal_std', 'image_size')
    return [
        dict(zip(names, json.loads(camera), strict=True), frames=count)
        for camera, count in cameras.items()
    ]


def products() -> set[str]:
    """What a run may leave in a folder, besides its record."""
    exported = (Path(x.product) for x in EXPORTERS.values() if x.product)
    return {*_PRODUCTS, *(path.parts[0] for path in exported)}


def remove_record(folder: Path) -> None:
    """Forget a run that found nothing."""
    (folder / RECORD).unlink(missing_ok=True)


def _remove_products(
    folder: Path, inner: Sequence[str], keep: Sequence[str] = ()
) -> None:
    """Remove what a run wrote, and nothing else."""
    root = folder.resolve()
    for name in inner:
        place = (root / name).resolve()
        if root != place and root not in place.parents:
            continue  # a record that somebody edited
        for product in products() - set(keep):
            path = place / product
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
