# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Read and validate untrusted submissions and dumped predictions."""

from __future__ import annotations

import io
import os
import posixpath
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aios.evaluation.functional.agora import keypoint_boxes
from aios.results import finite_instances
from aios.utils.json_record import read_record
from aios.utils.safe_io import ZIP_ERRORS, CorruptFileError, load_pickle
from aios.utils.safe_pickle import read_pickle

from .bodies import SubmittedBodies
from .evaluator import SUBMITTED_FIELDS, AGORAPersons, persons_of
from .layout import (
    FOLDER,
    NUM_JOINTS,
    PARAMETERS,
    check_person,
    parse_name,
)
from .submission import SCORES

_NEEDED = ('scores', 'joints2d')
_DUMPED: Mapping[str, tuple[int, ...]] = {
    'scores': (),
    'bboxes': (4,),
    'joints2d': (144, 2),
    'joints3d': (144, 3),
    'vertices': (10475, 3),
    **{f'smplx_{k}': (3 * n or 10,) for k, n in PARAMETERS.items()},
}
"""Shapes after the axis of persons."""
_MAX_BYTES = 64 << 20  # of one person; a mesh in float64 has 0.25 MB


class Submission:
    """Files of a submission, an archive or a folder.

    As on the server, predictions are the ``*.pkl`` directly in the folder
    ``predictions``; other files, and hidden ones, are ignored.

    Args:
        path: ``predictions.zip``, a folder ``predictions``, or a folder that
            contains one.

    Raises:
        FileNotFoundError: If it does not exist or has no ``*.pkl``.
        CorruptFileError: If the archive is damaged.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._archive: zipfile.ZipFile | None = None
        if self.path.is_dir():
            folder = self.path / FOLDER
            self.folder = folder if folder.is_dir() else self.path
            self.members = sorted(p.name for p in self.folder.iterdir())
            self.members = [m for m in self.members if m != SCORES]
            inside = '.'
            files = [
                path.relative_to(self.folder).as_posix()
                for path in self.folder.rglob('*.pkl')
            ]
            # The scores may lie among the predictions.
            inner = self.folder / SCORES
            beside = inner.parent if inner.is_file() else self.folder.parent
        else:
            self._archive = _open(self.path)
            self.members = sorted(self._archive.namelist())
            inside = FOLDER
            files = [m for m in self.members if m.endswith('.pkl')]
            beside = self.path.parent
        if not files:
            raise FileNotFoundError(
                f'{self.path}: contains no predictions *.pkl'
            )
        self.names = sorted(n for n in files if _is_prediction(n, inside))
        """Files of persons, in the order of their names as strings."""
        self.ignored = sorted(set(files) - set(self.names))
        """Other ``*.pkl``."""
        self.scores_path = beside / SCORES

    def read(self, name: str) -> Any:
        """Content of one of :attr:`names`; no pickled code is executed.

        Raises:
            UnsafeFileError: If it holds more than plain data.
            CorruptFileError: If it is damaged.
        """
        data = self.read_bytes(name)
        return read_pickle(io.BytesIO(data), f'{self.path}: {name}')

    def read_bytes(self, name: str) -> bytes:
        """Bytes of one of :attr:`names`."""
        if self._archive is None:
            if not (self.folder / name).is_file():  # but a device, for example
                raise CorruptFileError(f'{self.path}: {name} is not a file')
            size = (self.folder / name).stat().st_size
        else:
            size = self._archive.getinfo(name).file_size
        if size > _MAX_BYTES:
            raise CorruptFileError(
                f'{self.path}: {name} has {size:,} bytes, allowed are '
                f'{_MAX_BYTES:,} per person'
            )
        if self._archive is None:
            return (self.folder / name).read_bytes()
        try:
            return self._archive.read(name)
        except ZIP_ERRORS as error:
            raise CorruptFileError(
                f'{self.path}: {name} cannot be read ({error})'
            ) from error

    def scores(self) -> dict[str, float] | None:
        """Scores by file name; ``None`` if there is no ``scores.json``.

        Raises:
            CorruptFileError: If it is damaged, or not of these files.
        """
        if not self.scores_path.is_file():
            return None
        scores = read_record(self.scores_path)
        for name, score in scores.items():
            if type(score) not in (int, float) or not abs(score) < inf:
                raise CorruptFileError(
                    f'{self.scores_path}: the score of {name} must be a '
                    f'finite number, got {score!r:.40}'
                )
        lacking = [n for n in self.names if Path(n).name not in scores]
        if lacking:
            raise CorruptFileError(
                f'{self.scores_path}: has no score of {lacking[0]}; it is '
                'from another submission'
            )
        return {name: float(score) for name, score in scores.items()}


class SubmittedPredictions(NamedTuple):
    """Result of :func:`read_submission`."""

    persons: dict[str, AGORAPersons]
    """Predictions by image."""
    scored: bool
    """Whether scores are known; if not, all are 1."""
    ignored: list[str]
    """Files ``*.pkl`` outside the folder of predictions."""


def read_submission(
    path: str | os.PathLike, bodies: SubmittedBodies
) -> SubmittedPredictions:
    """Read the predictions of an AGORA submission, by image.

    Keypoints are read at once, meshes when they are needed.

    Args:
        path: See :class:`Submission`.
        bodies: Poses parameters.

    Returns:
        The predictions.  Within an image they are sorted by file name as
        strings (``_10`` before ``_2``), the official order, which decides
        ties.

    Raises:
        FileNotFoundError: If there are no predictions.
        ValueError: If the name or content of a file is invalid; the message
            names the file and the fault.
    """
    submission = Submission(path)
    scores = submission.scores()
    if not submission.names:
        raise FileNotFoundError(
            f'{submission.path}: predictions must be in the folder '
            f'{FOLDER}/, found {submission.ignored[0]}'
        )
    images: dict[str, list[str]] = {}
    for name in submission.names:
        try:
            image, _ = parse_name(Path(name).name)
        except ValueError as error:
            raise ValueError(f'{submission.path}: {error}') from error
        images.setdefault(image, []).append(name)
    persons = {}
    for image, names in images.items():
        joints = [_read_person(submission, name)['joints'] for name in names]
        persons[image] = AGORAPersons(
            image,
            np.array([scores[Path(n).name] if scores else 1.0 for n in names]),
            np.stack([points[:NUM_JOINTS] for points in joints]),
            np.stack([keypoint_boxes(points) for points in joints]),
            partial(_read_bodies, submission, names, bodies),
        )
    return SubmittedPredictions(
        persons, scores is not None, submission.ignored
    )


def read_dump(
    path: str | os.PathLike, bodies: SubmittedBodies
) -> dict[str, AGORAPersons]:
    """Read predictions of AGORA from a file of ``DumpWholeBodyResults``.

    Args:
        path: The file.
        bodies: Poses persons if it holds no meshes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If its content is invalid.
    """
    persons: dict[str, AGORAPersons] = {}
    for index, record in enumerate(dumped_records(path)):
        where = f'{path}: image {index}'
        try:
            found, broken = finite_instances(
                record['pred_instances'], SUBMITTED_FIELDS
            )
            image = persons_of(
                record['img_path'],
                record['ori_shape'],
                found,
                bodies,
                broken,
            )
        except KeyError as error:
            raise ValueError(f'{where} lacks {error}') from error
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        if image.name in persons:
            raise ValueError(f'{where}: duplicate image {image.name}')
        persons[image.name] = image
    return persons


def dumped_records(
    path: str | os.PathLike, needed: Sequence[str] = ()
) -> list[Mapping[str, Any]]:
    """Read the records of a file of ``DumpWholeBodyResults``.

    Args:
        path: The file.
        needed: Names that each record, or its persons, must have.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If its content is invalid.
    """
    records = load_pickle(path)
    if not isinstance(records, list) or not all(
        isinstance(record, dict)
        and isinstance(record.get('pred_instances'), dict)
        for record in records
    ):
        raise ValueError(
            f'{path}: must be a file of DumpWholeBodyResults, a list with '
            'pred_instances of each image'
        )
    for index, record in enumerate(records):
        where = f'{path}: image {index}'
        _check_image(record, where)
        _check_persons(record['pred_instances'], where)
        for name in needed:
            if name not in {**record, **record['pred_instances']}:
                raise ValueError(f'{where} lacks {name!r}')
    return records


def _check_image(record: Mapping[str, Any], where: str) -> None:
    """Reject image names and sizes of the wrong type."""
    name = record.get('img_path', '')
    if not isinstance(name, str):
        raise ValueError(f'{where}: img_path is {name!r:.80}, must be text')
    size = record.get('ori_shape', (1, 1))
    if (
        not isinstance(size, (tuple, list))
        or len(size) < 2
        or not all(isinstance(n, int) and n > 0 for n in size[:2])
    ):
        raise ValueError(
            f'{where}: ori_shape is {size!r:.80}, must be the height and '
            'width in pixels'
        )


def _check_persons(persons: Mapping[str, Any], where: str) -> None:
    """Reject fields without one row of numbers per person."""
    for name in _NEEDED:
        if name not in persons:
            raise ValueError(f'{where} lacks {name!r}')
    count = getattr(persons['scores'], 'shape', ())[:1]
    for name, value in persons.items():
        if name == 'cam_K':
            continue
        if not isinstance(value, np.ndarray) or value.dtype.kind not in 'biuf':
            found = getattr(value, 'dtype', type(value).__name__)
            raise ValueError(
                f'{where}: {name} is a {found}, must be an array of numbers'
            )
        shape = _DUMPED.get(name, value.shape[1:])
        if not count or value.shape != (*count, *shape):
            wanted = ', '.join(map(str, (*(count or ['P']), *shape)))
            raise ValueError(
                f'{where}: {name} has shape {value.shape}, must have '
                f'({wanted}), a row per person as scores'
            )


def iter_faults(
    submission: Submission, benchmark: str
) -> Iterator[tuple[str, str | None]]:
    """Yield every member of a submission with its fault or ``None``."""
    numbers: dict[str, list[int]] = {}
    for member in submission.members:
        if member == f'{FOLDER}/':
            continue
        name = Path(member).name
        try:
            if submission.path.is_file() and member != f'{FOLDER}/{name}':
                raise ValueError(f'must be in the folder {FOLDER}/')
            image, number = parse_name(name, benchmark)
            content = submission.read(member)
        except ValueError as error:
            yield member, str(error)
            continue
        numbers.setdefault(image, []).append(number)
        faults = check_person(content, benchmark)
        if b'numpy._core' in submission.read_bytes(member):
            faults.append(
                'was written by NumPy 2 and names numpy._core, which '
                'servers with NumPy 1 cannot read'
            )
        yield member, '; '.join(faults) or None
    for image, found in numbers.items():
        if sorted(found) != [*range(len(found))]:
            yield image, f'persons are numbered {sorted(found)}, not from 0'


def _is_prediction(name: str, folder: str) -> bool:
    """Whether a file lies directly in the folder and is not hidden."""
    parent, file = posixpath.split(posixpath.normpath(name))
    return (parent or '.') == folder and not file.startswith('.')


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise
    except ZIP_ERRORS as error:
        raise CorruptFileError(
            f'{path}: neither a folder nor a zip archive ({error})'
        ) from error


def _read_person(submission: Submission, name: str) -> dict[str, Any]:
    """Checked content of a file; ``joints`` reduced to x and y."""
    person = submission.read(name)
    if faults := check_person(person):
        raise ValueError(f'{submission.path}: {name}: {"; ".join(faults)}')
    return {**person, 'joints': person['joints'][:, :2]}


def _read_bodies(
    submission: Submission,
    names: list[str],
    bodies: SubmittedBodies,
    index: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    names = [names[row] for row in index]
    joints, vertices = bodies([_read_person(submission, n) for n in names])
    for name, *points in zip(names, joints, vertices, strict=True):
        if not all(np.isfinite(array).all() for array in points):
            raise ValueError(
                f'{submission.path}: {name}: the posed body is not finite; '
                'its params are too large'
            )
    return joints, vertices
