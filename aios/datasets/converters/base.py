# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What all converters share: units, progress, resuming, the final file.

A release is cut into units (a scene, a sequence, a file of labels).  Each
unit becomes one ``.npz`` in ``<out>.parts``; an interrupted conversion
continues with the units that are missing, and when all are there they become
one HumanData file and the folder goes away.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from aios.utils.safe_io import atomic_write, load_npz, save_npz

from .table import PersonTable, concatenate, to_human_data

__all__ = ['Converter', 'ConverterError', 'Summary', 'convert']

_VERSION = 1
_COUNTS = '__counts__'
_SETTINGS = 'settings.json'
_PART_FLAGS = {
    'lhand_bbox_xywh': 'left hands',
    'rhand_bbox_xywh': 'right hands',
    'face_bbox_xywh': 'faces',
}


class ConverterError(ValueError):
    """A release is not as expected; the message says what is missing."""


class Converter(ABC):
    """Turns one split of one release into rows.

    Args:
        root: Folder of the release.
        split: One of :attr:`SPLITS`.
        body_models: See :func:`aios.body_models.find_body_model`.
        interval: Take every n-th picture of a unit.

    Attributes:
        NAME: Of the data set, also the heading in ``docs/en/datasets.md``.
        SPLITS: Splits that there are.
        MISC: Entries of ``misc``.
        PARALLEL: Whether units can be converted in several processes.

    Raises:
        ConverterError: If the folder is not a release.
    """

    NAME: ClassVar[str]
    SPLITS: ClassVar[tuple[str, ...]]
    MISC: ClassVar[Mapping[str, Any]] = {'flat_hand_mean': False}
    PARALLEL: ClassVar[bool] = True

    def __init__(
        self,
        root: str | Path,
        split: str,
        body_models: str | None = None,
        interval: int = 1,
    ) -> None:
        if split not in self.SPLITS:
            raise ConverterError(
                f'{self.NAME} has the splits {self.SPLITS}, not {split!r}'
            )
        if interval < 1:
            raise ConverterError(f'interval must be >= 1, got {interval}')
        self.root = Path(root)
        self.split = split
        self.body_models = body_models
        self.interval = interval
        if not self.root.is_dir():
            raise self.missing(self.root)

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add options of this data set; their names are those of arguments."""
        del parser  # most have none

    @abstractmethod
    def units(self) -> list[str]:
        """Names of the units, always in the same order."""

    @abstractmethod
    def convert(self, unit: str) -> PersonTable:
        """Rows of one unit."""

    def settings(self) -> dict[str, Any]:
        """Everything the rows depend on, as JSON."""
        return {
            'version': _VERSION,
            'converter': self.NAME,
            **{k: _plain(v) for k, v in vars(self).items() if k[0] != '_'},
        }

    def missing(self, path: Path) -> ConverterError:
        """The error for a file or folder that is not there."""
        return ConverterError(
            f'{path} does not exist; docs/en/datasets.md#{self.NAME} says '
            'what to download and where it goes'
        )

    def require(self, *parts: str | Path) -> Path:
        """Path below the root, which must exist."""
        path = self.root.joinpath(*parts)
        if not path.exists():
            raise self.missing(path)
        return path


@dataclass
class Summary:
    """What a conversion made.

    Attributes:
        path: The file.
        images: Number of pictures.
        persons: Number of persons.
        parts: How many of them have a body fit, hands, a face.
        counts: Left out, or without labels, by reason.
        resumed: Units that were there already.
    """

    path: Path
    images: int = 0
    persons: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)
    resumed: int = 0

    def __str__(self) -> str:
        mean = self.persons / max(1, self.images)
        lines = [
            f'{self.path}: {self.images:,} pictures, {self.persons:,} persons '
            f'({mean:.1f} per picture)'
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
    """Convert all units, or those that an earlier run left over.

    Args:
        converter: The release.
        out: The ``.npz`` to write; complete or not there.
        overwrite: Whether an existing file may be replaced.
        restart: Throw the parts of an earlier run away.
        workers: Processes.
        limit: Convert only so many units, for a first look.

    Returns:
        What was made.

    Raises:
        FileExistsError: If ``out`` exists and ``overwrite`` is false.
        ConverterError: If parts of another conversion lie there, the release
            is incomplete, or nobody is left.
    """
    out = Path(out)
    if out.suffix != '.npz':
        raise ConverterError(f'{out}: the name must end with .npz')
    if out.exists() and not overwrite:
        raise FileExistsError(f'{out} exists; --overwrite replaces it')
    units = converter.units()[:limit]
    if not units:
        raise ConverterError(f'{converter.root}: nothing to convert')
    parts = out.with_suffix('.parts')
    _prepare(parts, {**converter.settings(), 'limit': limit}, restart)
    files = {unit: parts / f'{_file_name(unit)}.npz' for unit in units}
    todo = [unit for unit in units if not files[unit].exists()]
    _run(converter, todo, files, workers, len(units))

    tables, summary = [], Summary(out, resumed=len(units) - len(todo))
    for unit in units:
        columns = load_npz(files[unit])
        counts = json.loads(str(columns.pop(_COUNTS)))
        summary.counts.update(counts)
        tables.append(columns)
    columns = concatenate(tables)
    if not columns:
        raise ConverterError(
            f'{converter.root}: nobody is left ({dict(summary.counts)})'
        )
    config = f'{converter.NAME}_{converter.split}'
    data = to_human_data(columns, converter.MISC, config)
    data.dump(out, overwrite=overwrite)
    shutil.rmtree(parts)
    _count(columns, summary)
    return summary


def _count(columns: Mapping[str, np.ndarray], summary: Summary) -> None:
    summary.persons = len(columns['image_path'])
    summary.images = len(np.unique(columns['image_path']))
    fitted = columns.get('meta/smplx_valid')
    if fitted is not None:
        summary.parts['body fits'] = int(fitted.sum())
    for key, name in _PART_FLAGS.items():
        summary.parts[name] = int((columns[key][:, 4] > 0).sum())


def _prepare(parts: Path, settings: dict[str, Any], restart: bool) -> None:
    if restart and parts.exists():
        shutil.rmtree(parts)
    parts.mkdir(parents=True, exist_ok=True)
    file, text = parts / _SETTINGS, json.dumps(settings, sort_keys=True)
    if not file.exists():
        with atomic_write(file) as stream:
            stream.write(text.encode())
    elif file.read_text() != text:
        raise ConverterError(
            f'{parts} holds parts that were converted with other options; '
            '--restart throws them away'
        )


def _run(
    converter: Converter,
    todo: list[str],
    files: Mapping[str, Path],
    workers: int,
    total: int,
) -> None:
    progress = tqdm(
        desc=converter.NAME,
        unit='unit',
        total=total,
        initial=total - len(todo),
        disable=not todo,
    )
    with progress:
        if workers <= 1 or not converter.PARALLEL:
            for unit in todo:
                _convert_unit(converter, unit, files[unit])
                progress.update()
            return
        with ProcessPoolExecutor(workers) as pool:
            jobs = [
                pool.submit(_convert_unit, converter, unit, files[unit])
                for unit in todo
            ]
            try:
                for job in as_completed(jobs):
                    job.result()
                    progress.update()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _convert_unit(converter: Converter, unit: str, file: Path) -> None:
    table = converter.convert(unit)
    counts = np.array(json.dumps(table.counts))
    columns = table.columns if len(table) else {}
    save_npz(file, {**columns, _COUNTS: counts}, overwrite=True)


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
