# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AGORA's data frames of persons, with joints and vertices.

Symbols: ``G`` persons of an image.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from aios.datasets.converters.agora_frames import is_smpl_frame, pixel_width
from aios.utils.dataframe import load_dataframe
from aios.utils.safe_io import atomic_write, list_npz, load_npz

from .layout import SMALL_SUFFIX

IMAGE_SIZE = (3840, 2160)
"""Width and height of the image whose pixels all keypoints refer to."""

_FRAME = re.compile(r'(\w+_)?\d+(_SMPLX)?_withjv\.pkl')
_NUMBER = re.compile(r'_?\d+(_SMPLX)?_withjv\.pkl')
_SHAPES: Mapping[str, tuple[int, ...]] = {
    'gt_joints_2d': (127, 2),
    'gt_joints_3d': (127, 3),
    'gt_verts': (10475, 3),
}
_COLUMNS = ('imgPath', 'kid', 'occlusion', 'isValid', *_SHAPES)
_MAX_OCCLUSION = 90
_FULL_BODY = ('bfh', 'smplx')
_TABLE: Mapping[str, tuple[tuple[int, ...], str]] = {
    'joints2d': ((127, 2), 'f'),
    'joints3d': ((127, 3), 'f'),
    'kid': ((), 'b'),
    'occlusion': ((), 'f'),
    'is_valid': ((), 'b'),
    'orientation': ((), 'f'),
}
"""Shapes after the axis of persons, and dtype kinds."""


def image_name(path: str) -> str:
    """Name of an image in submissions: its stem at 3840 x 2160."""
    return Path(path.replace('\\', '/')).stem.removesuffix(SMALL_SUFFIX)


@dataclass(frozen=True)
class AGORAImage:
    """The true persons of an image.

    Args:
        name: See :func:`image_name`.
        joints2d: ``(G, 127, 2)`` pixels at 3840 x 2160.
        joints3d: ``(G, 127, 3)`` meters in the camera's axes.
        kid: ``(G,)`` bool.
        occlusion: ``(G,)`` percent, NaN if unknown.
        valid: ``(G,)`` bool, ``isValid``.
        orientation: ``(G,)`` degrees of ``Yaw - camYaw`` in (-22.5, 337.5],
            NaN if the data frames lack them.
        vertices: Reads ``(G, 10475, 3)``, meters in the camera's axes.
    """

    name: str
    joints2d: np.ndarray
    joints3d: np.ndarray
    kid: np.ndarray
    occlusion: np.ndarray
    valid: np.ndarray
    orientation: np.ndarray
    vertices: Callable[[], np.ndarray]

    @property
    def visible(self) -> np.ndarray:
        """``(G,)`` bool, matchable persons: valid, at most 90 % occluded."""
        shown = (self.occlusion >= 0) & (self.occlusion <= _MAX_OCCLUSION)
        return self.valid & shown


class AGORAGroundTruth:
    """True persons by image.

    Args:
        path: Folder of the data frames ``*_withjv.pkl``, or the file that
            :func:`convert_ground_truth` wrote from them, which loads faster
            and keeps meshes on disk.
        full_bodies_only: Keep images with ``bfh`` or ``smplx`` in their
            path, as official evaluations of SMPL-X do.  Only they have
            fitted hands and faces.

    Raises:
        FileNotFoundError: If there is no such file, or no data frame.
        ValueError: If a column is missing or has another shape, or no
            image is left.
    """

    def __init__(
        self, path: str | os.PathLike, full_bodies_only: bool = True
    ) -> None:
        self.path = Path(path)
        read = self._read_folder if self.path.is_dir() else self._read_file
        every = read()
        self._images = {
            name: image
            for name, (place, image) in every.items()
            if not full_bodies_only
            or any(word in place for word in _FULL_BODY)
        }
        if not self._images:
            raise ValueError(
                f'{self.path}: none of {len(every)} images has '
                f'{" or ".join(_FULL_BODY)} in its path; set '
                'full_bodies_only=False to evaluate all images'
            )

    def __len__(self) -> int:
        return len(self._images)

    def __contains__(self, name: object) -> bool:
        return name in self._images

    def __iter__(self) -> Iterator[AGORAImage]:
        for name in sorted(self._images):
            yield self._images[name]

    def __getitem__(self, name: str) -> AGORAImage:
        return self._images[name]

    def _read_folder(self) -> dict[str, tuple[str, AGORAImage]]:
        images = {}
        for place, table, vertices in _read_frames(self.path):
            images[image_name(place)] = (
                place,
                _image(place, table, partial(np.asarray, vertices)),
            )
        return images

    def _read_file(self) -> dict[str, tuple[str, AGORAImage]]:
        if self.path.suffix == '.pkl':
            raise ValueError(
                f'{self.path}: a single data frame; allowed are the folder '
                'of the data frames *_withjv.pkl, and the .npz file of '
                'tools/dataset_converters/agora_ground_truth.py'
            )
        lacking = {'paths', 'rows', *_TABLE} - set(list_npz(self.path))
        if lacking:
            raise ValueError(
                f'{self.path}: lacks {sorted(lacking)}; make it with '
                'tools/dataset_converters/agora_ground_truth.py'
            )
        data = load_npz(self.path, ('paths', 'rows', *_TABLE))
        _check_table(data, self.path)
        images = {}
        for index, place in enumerate(data['paths'].tolist()):
            start, end = data['rows'][index]
            table = {name: data[name][start:end] for name in _TABLE}
            images[image_name(place)] = (
                place,
                _image(
                    place,
                    table,
                    partial(self._read_vertices, index, end - start),
                ),
            )
        return images

    def _read_vertices(self, index: int, count: int) -> np.ndarray:
        key = _member(index)
        vertices = load_npz(self.path, (key,)).get(key)
        if vertices is None:
            raise ValueError(f'{self.path}: lacks {key}')
        where = f'{self.path}[{key}]'
        return _stack(vertices, (count, *_SHAPES['gt_verts']), where)


def _check_table(data: Mapping[str, np.ndarray], path: Path) -> None:
    """Reject arrays of a converted file that are inconsistent."""
    rows, places = data['rows'], data['paths']
    if rows.dtype.kind not in 'iu' or rows.shape[1:] != (2,):
        raise ValueError(
            f'{path}: rows must be integers (images, 2), got {rows.dtype} '
            f'{rows.shape}'
        )
    if places.dtype.kind != 'U' or places.shape != rows.shape[:1]:
        raise ValueError(
            f'{path}: paths must be text ({len(rows)},), got {places.dtype} '
            f'{places.shape}'
        )
    edges = np.append(0, rows[:, 1])
    if (rows[:, 0] != edges[:-1]).any() or (edges[1:] < edges[:-1]).any():
        raise ValueError(f'{path}: rows must follow each other from 0')
    total = int(edges[-1])
    for name, (shape, kinds) in _TABLE.items():
        array = data[name]
        if array.shape != (total, *shape) or array.dtype.kind not in kinds:
            raise ValueError(
                f'{path}: {name} must have shape {(total, *shape)}, got '
                f'{array.dtype} {array.shape}'
            )


def convert_ground_truth(
    folder: str | os.PathLike,
    out: str | os.PathLike,
    overwrite: bool = False,
) -> int:
    """Convert AGORA's data frames to one file.

    Meshes are stored per image, so that they can be loaded separately.

    Args:
        folder: Where the data frames are.
        out: ``.npz`` to write.
        overwrite: Whether it may be replaced.

    Returns:
        Number of images.

    Raises:
        FileNotFoundError: If there is no data frame.
        FileExistsError: If ``out`` exists and may not be replaced.
        ValueError: If a column is missing or has another shape.
    """
    paths: list[str] = []
    rows: list[tuple[int, int]] = []
    tables: list[dict[str, np.ndarray]] = []
    with (
        atomic_write(out, overwrite) as stream,
        zipfile.ZipFile(stream, 'w', zipfile.ZIP_STORED) as archive,
    ):
        for place, table, vertices in _read_frames(Path(folder)):
            _write_member(archive, _member(len(paths)), vertices)
            start = rows[-1][1] if rows else 0
            rows.append((start, start + len(vertices)))
            paths.append(place)
            tables.append(table)
        for name in _TABLE:
            column = np.concatenate([table[name] for table in tables])
            _write_member(archive, name, column)
        _write_member(archive, 'paths', np.array(paths))
        _write_member(archive, 'rows', np.array(rows))
    return len(paths)


def _read_frames(
    folder: Path,
) -> Iterator[tuple[str, dict[str, np.ndarray], np.ndarray]]:
    """Path, small columns and vertices of every image."""
    files = sorted(
        path
        for path in folder.rglob('*.pkl')
        if _FRAME.fullmatch(path.name)
        and not is_smpl_frame(path.relative_to(folder))
    )
    if not files:
        raise FileNotFoundError(
            f'{folder}: contains no data frame '
            '<split>_<number>[_SMPLX]_withjv.pkl; download "SMPL-X ground '
            'truth" from https://agora.is.tue.mpg.de'
        )
    splits = sorted({_NUMBER.sub('', path.name) for path in files})
    if len(splits) > 1:
        raise ValueError(
            f'{folder}: contains data frames of {" and ".join(splits)}; '
            'persons of the other split would count as missed'
        )
    seen: dict[str, Path] = {}
    for path in tqdm(files, desc='data frames', disable=len(files) < 2):
        frame = load_dataframe(
            path,
            _COLUMNS,
            'the official evaluation needs those of joints and vertices',
        )
        scale = _pixel_scale(frame, path)
        for row, place in enumerate(frame['imgPath']):
            where = f'{path}, row {row}'
            if not isinstance(place, str):
                raise ValueError(f'{where}, imgPath: {place!r} is not a path')
            name = image_name(place)
            if name in seen:
                raise ValueError(f'{where}: {name} is also in {seen[name]}')
            seen[name] = path
            table, vertices = _read_row(frame, row, where)
            table['joints2d'] = table['joints2d'] / scale
            yield place, table, vertices


def _pixel_scale(frame: Mapping[str, np.ndarray], path: Path) -> float:
    """1 if keypoints are in pixels at 3840 x 2160, 1/3 if at 1280 x 720."""
    images = []
    for row in range(len(frame['imgPath'])):
        pixels, points = (
            _arrays(frame[name][row], f'{path}, row {row}, {name}')
            for name in ('gt_joints_2d', 'gt_joints_3d')
        )
        sizes = pixels.shape[-1:] + points.shape[-1:]
        if pixels.shape[:-1] == points.shape[:-1] and sizes == (2, 3):
            images.append((points, pixels))
    try:
        width = pixel_width(images)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    # Rows without usable joints are checked when they are read.
    return 1.0 if width is None else width / IMAGE_SIZE[0]


def _read_row(
    frame: Mapping[str, np.ndarray], row: int, where: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    try:
        count = len(frame['isValid'][row])
    except TypeError as error:
        raise ValueError(f'{where}, isValid: must be a list') from error
    arrays = {
        name: _stack(frame[name][row], (count, *shape), f'{where}, {name}')
        for name, shape in _SHAPES.items()
    }
    flags = {
        name: _numbers(frame[name][row], count, f'{where}, {name}')
        for name in ('isValid', 'kid', 'occlusion')
    }
    for name in ('isValid', 'kid'):
        if not np.isin(flags[name], (0, 1)).all():
            raise ValueError(f'{where}, {name}: must be True or False')
    orientation = np.full(count, np.nan)
    if 'Yaw' in frame and 'camYaw' in frame:
        yaw = _numbers(frame['Yaw'][row], count, f'{where}, Yaw')
        camera = _numbers([frame['camYaw'][row]], 1, f'{where}, camYaw')
        # Bins include their upper edges.
        orientation = 337.5 - (337.5 - (yaw - camera)) % 360
    table = {
        'joints2d': arrays['gt_joints_2d'],
        'joints3d': arrays['gt_joints_3d'],
        'kid': flags['kid'].astype(bool),
        'occlusion': flags['occlusion'],
        'is_valid': flags['isValid'].astype(bool),
        'orientation': orientation,
    }
    return table, arrays['gt_verts']


def _numbers(value: Any, count: int, where: str) -> np.ndarray:
    """``(count,)`` float64 of a cell that lists a number per person."""
    try:
        numbers = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{where}: must be a list of numbers ({error})'
        ) from error
    if len(numbers) != count:
        raise ValueError(
            f'{where}: has {len(numbers)} persons, isValid {count}'
        )
    return numbers


def _arrays(value: Any, where: str) -> np.ndarray:
    """Array of a cell that lists arrays of persons; float32 stays float32."""
    try:
        persons = [np.asarray(person) for person in value]
        array = np.stack(persons) if persons else np.empty(0)
        if array.dtype != np.float32:
            # The official tool keeps the precision of the file: float64.
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{where}: must be a list with an array of numbers per person '
            f'({error})'
        ) from error
    return array


def _stack(value: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """One array of a cell that lists persons."""
    array = _arrays(value, where)
    if not array.size and shape[0] == 0:
        return np.empty(shape)
    count = len(array) if array.size else 0
    if count != shape[0]:
        raise ValueError(f'{where}: has {count} persons, isValid {shape[0]}')
    # Vertices and joints may have a leading axis of one.
    if array.shape[1:] == (1, *shape[1:]):
        array = array[:, 0]
    if array.shape != shape:
        raise ValueError(
            f'{where}: a person has shape {array.shape[1:]}, must be '
            f'{shape[1:]}; are these data frames of SMPL, not SMPL-X?'
        )
    with np.errstate(over='ignore'):
        finite = np.isfinite(array.astype(np.float32)).all((1, 2))
    if not finite.all():
        raise ValueError(f'{where}: person {finite.argmin()} is not finite')
    return array


def _image(
    place: str,
    table: Mapping[str, np.ndarray],
    vertices: Callable[[], np.ndarray],
) -> AGORAImage:
    fields = dict(table)
    fields['valid'] = fields.pop('is_valid')
    return AGORAImage(image_name(place), vertices=vertices, **fields)


def _member(index: int) -> str:
    return f'vertices_{index:06d}'


def _write_member(
    archive: zipfile.ZipFile, name: str, array: np.ndarray
) -> None:
    with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)
