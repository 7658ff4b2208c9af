# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Base of the converters: units, progress, resuming, the final file.

A release is split into units (a scene, a sequence, a label file).  Each unit
is converted to one ``.npz`` in ``<out>.parts``.  An interrupted conversion
continues with the missing units; finally all units are merged to one
HumanData file and the folder is removed.  Parts are written atomically, so
a killed process leaves only complete ones.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tqdm import tqdm

from aios.datasets.human_data import HumanData
from aios.datasets.image_list import present_files
from aios.utils.locking import folder_lock
from aios.utils.processes import run_in_processes
from aios.utils.run_folder import begin_run
from aios.utils.safe_io import CorruptFileError, UnsafeFileError

from .merging import merge_parts, write_part
from .table import PersonTable

_VERSION = 3
_PART_FLAGS = {
    'lhand_bbox_xywh': 'left hands',
    'rhand_bbox_xywh': 'right hands',
    'face_bbox_xywh': 'faces',
}


class ConverterError(ValueError):
    """A release is incomplete or invalid; the message says what is missing."""


@contextmanager
def reading(where: str | Path) -> Iterator[None]:
    """Convert errors of unexpected content, so that they name the file."""
    try:
        yield
    except (ConverterError, CorruptFileError, UnsafeFileError):
        raise  # they name the file
    except (
        *(ArithmeticError, AttributeError, LookupError, RecursionError),
        *(TypeError, ValueError, csv.Error),
    ) as error:
        raise ConverterError(
            f'{where}: unexpected content ({type(error).__name__}: {error})'
        ) from error


CONVERTERS: dict[str, type[Converter]] = {}
"""All converters by the names of their datasets."""


@dataclass(eq=False)
class Converter(ABC):
    """Converts one split of a release to rows.

    Args:
        root: Folder of the release.
        split: One of :attr:`SPLITS`.
        body_models: See :func:`aios.body_models.find_body_model`.
        interval: Take every n-th image of a unit.

    Attributes:
        NAME: Of the dataset, also the heading in ``docs/en/datasets.md``.
        SPLITS: Available splits.
        MISC: Entries of ``misc``.
        IMAGES: Folder below the root that ``image_path`` is relative to.

    Raises:
        ConverterError: If the folder is not a valid release.
    """

    NAME: ClassVar[str]
    SPLITS: ClassVar[tuple[str, ...]]
    MISC: ClassVar[Mapping[str, Any]] = {'flat_hand_mean': False}
    IMAGES: ClassVar[str] = ''

    root: Path
    split: str = 'train'
    body_models: str | None = None
    interval: int = 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'NAME' in vars(cls):
            CONVERTERS[cls.NAME] = cls

    def __post_init__(self) -> None:
        if self.split not in self.SPLITS:
            raise ConverterError(
                f'{self.NAME}: split must be one of {self.SPLITS}, got '
                f'{self.split!r}'
            )
        if self.interval < 1:
            raise ConverterError(f'interval must be >= 1, got {self.interval}')
        self.root = Path(self.root)
        if not self.root.is_dir():
            raise self.missing(self.root)

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add options of this dataset, named like constructor arguments."""
        del parser  # no options by default

    @abstractmethod
    def units(self) -> list[str]:
        """Names of the units, in a fixed order."""

    @abstractmethod
    def convert(self, unit: str) -> PersonTable:
        """Rows of one unit."""

    def for_unit(self, unit: str) -> Converter:
        """A converter for this unit that can be sent to another process."""
        del unit  # by default, units are read on demand
        return self

    def settings(self) -> dict[str, Any]:
        """JSON-serializable settings that determine the rows."""
        return {
            'version': _VERSION,
            'converter': self.NAME,
            **{k: _plain(v) for k, v in vars(self).items() if k[0] != '_'},
        }

    def image_root(self) -> Path:
        """Folder that ``image_path`` is relative to."""
        return self.root / self.IMAGES

    def missing(self, *paths: Path) -> ConverterError:
        """The error for a missing file or folder with alternative names."""
        return ConverterError(
            f'{" or ".join(map(str, paths))} does not exist; see '
            f'docs/en/datasets.md#{self.NAME} for downloads and folders'
        )

    def require(self, *parts: str | Path) -> Path:
        """Path below the root, which must exist."""
        path = self.root.joinpath(*parts)
        if not path.exists():
            raise self.missing(path)
        return path


@dataclass
class Summary:
    """Summary of a conversion.

    Attributes:
        path: The file.
        images: Number of images.
        persons: Number of persons.
        parts: Numbers of persons with a body fit, hands, a face.
        counts: Numbers of items left out, or without labels, by reason.
        resumed: Number of units converted by an earlier run.
        missing: Number of missing images.
        first_missing: One of them.
    """

    path: Path
    images: int = 0
    persons: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)
    resumed: int = 0
    missing: int = 0
    first_missing: str = ''

    def __str__(self) -> str:
        mean = self.persons / max(1, self.images)
        lines = [
            f'{self.path}: {self.images:,} images, {self.persons:,} persons '
            f'({mean:.1f} per image)'
        ]
        for name, count in self.parts.items():
            share = 100 * count / max(1, self.persons)
            lines.append(f'  {name:<28} {count:>10,}  {share:5.1f} %')
        lines += [
            f'  {name:<28} {count:>10,}'
            for name, count in sorted(self.counts.items())
            if count
        ]
        if self.resumed:
            lines.append(f'  ({self.resumed} units were converted before)')
        if self.missing:
            lines.append(
                f'  WARNING: {self.missing:,} images are not there, for '
                f'example {self.first_missing}; until they are, datasets '
                "want filter_cfg=dict(missing_images='drop')"
            )
        return '\n'.join(lines)


def convert(
    converter: Converter,
    out: str | Path,
    *,
    overwrite: bool = False,
    restart: bool = False,
    workers: int = 1,
    limit: int | None = None,
) -> Summary:
    """Convert all units that an earlier run has not converted.

    Args:
        converter: The release.
        out: The ``.npz`` to write, atomically.
        overwrite: Whether an existing file may be replaced.
        restart: Delete the parts of an earlier run.
        workers: Number of processes.
        limit: Maximum number of units, for a quick check.

    Returns:
        The summary.

    Raises:
        FileExistsError: If ``out`` exists and ``overwrite`` is false.
        ConverterError: If the release is incomplete, or no person is left.
        OtherSettingsError: If there are parts with other settings.
        FolderInUseError: If another conversion writes the same file.
        ChildProcessError: If a process died.
    """
    out = Path(out)
    if out.suffix != '.npz':
        raise ConverterError(f'{out}: the suffix must be .npz')
    if out.exists() and not overwrite:
        raise FileExistsError(f'{out} exists; add --overwrite to replace it')
    units = converter.units()[:limit]
    if not units:
        raise ConverterError(f'{converter.root}: nothing to convert')
    parts = out.with_suffix('.parts')
    settings = {**converter.settings(), 'limit': limit}
    with folder_lock(parts):
        begin_run(
            parts,
            'settings.json',
            settings,
            resume=not restart,
            overwrite=restart,
            clear=lambda: _remove_parts(parts),
        )
        files = [parts / f'{_file_name(unit)}.npz' for unit in units]
        todo = [
            (unit, file)
            for unit, file in zip(units, files, strict=True)
            if not file.exists()
        ]
        _run(converter, todo, workers, len(units))
        data, counts = merge_parts(
            files,
            parts / 'columns',
            converter.MISC,
            f'{converter.NAME}_{converter.split}',
        )
        if not len(data):
            raise ConverterError(
                f'{converter.root}: all persons were dropped ({dict(counts)})'
            )
        data.dump(out, overwrite=overwrite)
        summary = Summary(out, counts=counts, resumed=len(units) - len(todo))
        _count(data, converter.image_root(), summary)
        del data  # memory-mapped from the folder
    shutil.rmtree(parts)
    return summary


def _remove_parts(parts: Path) -> None:
    for file in parts.glob('*.npz'):
        file.unlink()


def _count(data: HumanData, images: Path, summary: Summary) -> None:
    summary.persons = len(data)
    summary.images = len(data['frame_range'])
    fitted = data['meta'].get('smplx_valid')
    if fitted is not None:
        summary.parts['body fits'] = int(fitted.sum())
    for key, name in _PART_FLAGS.items():
        if key not in data:
            continue  # SMPL has neither hands nor faces
        summary.parts[name] = int((data[key][:, 4] > 0).sum())
    paths = {str(images / path) for path in data['image_path']}
    missing = sorted(paths - present_files(paths))
    summary.missing = len(missing)
    summary.first_missing = missing[0] if missing else ''


def _run(
    converter: Converter, todo: list[Any], workers: int, total: int
) -> None:
    calls = ((converter.for_unit(u), u, file) for u, file in todo)
    progress = tqdm(
        run_in_processes(_convert_unit, calls, workers),
        desc=converter.NAME,
        unit='unit',
        total=total,
        initial=total - len(todo),
        disable=not todo,
    )
    for _ in progress:
        pass


def _convert_unit(converter: Converter, unit: str, file: Path) -> None:
    with reading(f'{converter.root}, {unit}'):
        table = converter.convert(unit)
        table.select_sound()
        write_part(file, table)


def _file_name(unit: str) -> str:
    digest = hashlib.sha256(unit.encode()).hexdigest()[:8]
    clean = ''.join(c if c.isalnum() else '_' for c in unit)
    return f'{clean[-80:]}-{digest}'


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    return str(value)
