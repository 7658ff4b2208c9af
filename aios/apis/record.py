# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The folder of a run: what it was made with, and whether it may go on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aios.utils.safe_io import atomic_write
from aios.version import __version__

__all__ = [
    'PRODUCTS',
    'RunRecord',
    'digest',
    'file_digest',
    'prepare_folder',
    'remove_record',
]

RECORD = 'run.json'
PRODUCTS = (
    'bvh',
    'keypoints.json',
    'mesh',
    'params',
    'params.npz',
    'parts',
    'people.glb',
    'vis',
    'vis.mp4',
    'vis.partial.mp4',
)
"""What a run leaves in a folder, besides its record."""


@dataclass
class RunRecord:
    """What a run was made with.

    Args:
        fingerprint: What results depend on, by name.
        presentation: What the pictures and files made of them depend on.
        folders: Folders of the sources, relative.
        complete: Whether it is finished.
    """

    fingerprint: dict[str, Any]
    presentation: dict[str, Any]
    folders: list[str] = field(default_factory=lambda: ['.'])
    complete: bool = False
    aios_version: str = __version__

    def save(self, folder: Path) -> None:
        """Write it."""
        text = json.dumps(self.__dict__, indent=1, sort_keys=True)
        with atomic_write(folder / RECORD, overwrite=True) as stream:
            stream.write(text.encode())

    @classmethod
    def load(cls, folder: Path) -> RunRecord | None:
        """Read it; ``None`` if there is none.

        Raises:
            ValueError: If it is damaged.
        """
        path = folder / RECORD
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text()))
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: damaged ({error})') from error


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
        NotADirectoryError: If it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f'{folder}: is a file, expected a folder')
    earlier = RunRecord.load(folder)
    occupied = folder.is_dir() and any(folder.iterdir())
    if occupied and resume:
        if earlier is None:
            raise ValueError(
                f'{folder}: there is no {RECORD}, so there is nothing to '
                'resume'
            )
        _check_same(folder, earlier, record)
        if earlier.presentation != record.presentation:
            if earlier.complete:
                raise ValueError(
                    f'{folder}: the run there is complete. '
                    'tools/params2mesh.py makes other files of it; '
                    '--overwrite does it all again'
                )
            # They are made anew from the parts; others must not stay.
            _remove_products(folder, earlier.folders, keep=('parts',))
            record.save(folder)
        return earlier
    if occupied and not overwrite:
        raise FileExistsError(
            f'{folder}: not empty; choose another folder, --resume to '
            'continue an interrupted run, or --overwrite to replace its '
            'results'
        )
    if earlier is not None:
        _remove_products(folder, earlier.folders)
    record.save(folder)
    return None


def remove_record(folder: Path) -> None:
    """Forget a run that found nothing, and its folder if it is empty."""
    (folder / RECORD).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _check_same(folder: Path, earlier: RunRecord, record: RunRecord) -> None:
    old, new = earlier.fingerprint, record.fingerprint
    changed = sorted(
        name for name in {*old, *new} if old.get(name) != new.get(name)
    )
    if changed:
        text = ', '.join(
            f'{name} (then {old.get(name)}, now {new.get(name)})'
            for name in changed
        )
        raise ValueError(
            f'{folder}: cannot be resumed, the run there differs in {text}; '
            'choose another folder, or --overwrite'
        )


def _remove_products(
    folder: Path, inner: Sequence[str], keep: Sequence[str] = ()
) -> None:
    """Remove what a run wrote, and nothing else."""
    root = folder.resolve()
    for name in inner:
        place = (root / name).resolve()
        if root != place and root not in place.parents:
            continue  # a record that somebody edited
        for product in set(PRODUCTS) - set(keep):
            path = place / product
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def digest(parts: Mapping[str, Any] | Sequence[Any]) -> str:
    """Short text that changes with any part."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: str | os.PathLike) -> str:
    """Short text that changes with the content of a file."""
    if not Path(path).is_file():
        return str(path)  # an address
    total = hashlib.sha256()
    with open(path, 'rb') as stream:
        while piece := stream.read(1 << 20):
            total.update(piece)
    return total.hexdigest()[:16]
