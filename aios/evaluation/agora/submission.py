# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Write submissions atomically and with reproducible bytes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aios.utils.portable_pickle import dump_pickle
from aios.utils.safe_io import atomic_write

from .layout import FOLDER, check_person

ARCHIVE = f'{FOLDER}.zip'
"""Archive to upload."""

SCORES = 'scores.json'
"""Scores of the persons by file name; for threshold sweeps, not uploaded."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_RIGHTS = 0o644 << 16
_FOLDER_RIGHTS = (0o40755 << 16) | 0x10


class SubmissionWriter:
    """Collects files of persons and publishes them as one submission.

    :meth:`write` writes to a temporary folder of this process beside the
    result; :meth:`publish` moves the files of all processes on the same file
    system to their place at once.  So a submission is complete or absent,
    and never contains older files.

    Args:
        out_dir: The result: ``predictions/``, ``predictions.zip``,
            ``scores.json``.
        benchmark: ``'agora'`` or ``'bedlam'``.
        overwrite: Replace an older submission there.

    Raises:
        FileExistsError: If there is one, or ``out_dir`` holds other things.
    """

    def __init__(
        self,
        out_dir: str | os.PathLike,
        benchmark: str = 'agora',
        overwrite: bool = False,
    ) -> None:
        self.out_dir = Path(out_dir)
        self.benchmark = benchmark
        self.overwrite = overwrite
        self._part: tempfile.TemporaryDirectory | None = None
        self.check_place()

    def check_place(self) -> None:
        """Raise if ``out_dir`` holds files that may not be replaced."""
        out = self.out_dir
        if out.exists() and not out.is_dir():
            raise FileExistsError(f'{out} is not a folder')
        existing = set(os.listdir(out)) if out.is_dir() else set()
        if not existing:
            return
        if not self.overwrite:
            raise FileExistsError(
                f'{out} is not empty; choose another out_dir, or set '
                'overwrite=True to replace an older submission'
            )
        if foreign := sorted(existing - {FOLDER, ARCHIVE, SCORES}):
            raise FileExistsError(
                f'{out} contains other files than a submission '
                f'({foreign[0]}) and is not replaced'
            )

    def write(self, image: str, persons: Sequence[Mapping]) -> list[str]:
        """Write the persons of an image.

        Args:
            image: Name of the image, the first half of file names.
            persons: Contents, best first; see
                :func:`~aios.evaluation.agora.layout.check_person`.

        Returns:
            Paths of the files.

        Raises:
            ValueError: If the server would reject a content.
        """
        paths = []
        for number, content in enumerate(persons):
            name = f'{image}_personId_{number}.pkl'
            if faults := check_person(content, self.benchmark):
                raise ValueError(f'{name}: {"; ".join(faults)}')
            path = self._folder() / name
            # Samplers repeat images to fill the last batch.
            dump_pickle(path, content, overwrite=True)
            paths.append(str(path))
        return paths

    def _folder(self) -> Path:
        if self._part is None:
            self._part = _folder_beside(self.out_dir)
        return Path(self._part.name)

    def publish(self, files: Mapping[str, float]) -> Path:
        """Move the files to ``out_dir`` and write the archive.

        Args:
            files: Paths returned by :meth:`write`, here or in another
                process, with the scores of the persons.

        Returns:
            The archive.

        Raises:
            FileNotFoundError: If a file is missing.
        """
        self.check_place()
        with _folder_beside(self.out_dir) as beside:
            new = Path(beside, 'new')
            (new / FOLDER).mkdir(parents=True)
            names = []
            for path in sorted(files, key=os.path.basename):
                names.append(os.path.basename(path))
                self._move(path, new / FOLDER / names[-1])
            write_archive(new / FOLDER, new / ARCHIVE)
            scores = {os.path.basename(p): s for p, s in files.items()}
            text = json.dumps(scores, indent=0, sort_keys=True)
            (new / SCORES).write_text(f'{text}\n')
            if self.out_dir.exists():
                os.replace(self.out_dir, Path(beside, 'old'))
            os.replace(new, self.out_dir)
        if self._part is not None:
            self._part.cleanup()
            self._part = None
        return self.out_dir / ARCHIVE

    def _move(self, path: str, target: Path) -> None:
        try:
            shutil.move(path, target)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{path}, written by another process, is not there; '
                f'{self.out_dir.parent} must be on a file system shared by '
                'all processes'
            ) from error


def write_archive(folder: str | os.PathLike, path: str | os.PathLike) -> None:
    """Zip a folder of predictions; the same files give the same bytes.

    Args:
        folder: Folder of the files.
        path: The archive; an existing one is replaced.
    """
    with (
        atomic_write(path, overwrite=True) as stream,
        zipfile.ZipFile(stream, 'w') as archive,
    ):
        entry = zipfile.ZipInfo(f'{FOLDER}/', _EPOCH)
        entry.external_attr = _FOLDER_RIGHTS
        archive.writestr(entry, b'')
        for file in sorted(Path(folder).iterdir()):
            entry = zipfile.ZipInfo(f'{FOLDER}/{file.name}', _EPOCH)
            entry.external_attr = _RIGHTS
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def _folder_beside(path: Path) -> Any:
    """Temporary folder on the same file system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(
        prefix=f'.{path.name}.', dir=path.parent, ignore_cleanup_errors=True
    )
