# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons as dictionaries, as scripts save the output of a network.

A file of ``np.save``, ``np.savez``, ``json.dump`` or ``pickle.dump`` holds the
list of persons of an image, lists of several images, or one person.  A folder
holds one such file per image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aios.results import FrameResult
from aios.results.schema import has_shape
from aios.structures import Camera
from aios.utils.folders import visible_paths
from aios.utils.media import natural_key
from aios.utils.safe_io import load_npy, load_npz, load_pickle

from .importer import ReadingOptions

SUFFIXES = ('.npz', '.npy', '.json', '.pkl')


class Person(Mapping[str, Any]):
    """A dictionary whose errors name its origin, ``where``.

    Raises:
        ValueError: If it is something else.
    """

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        if not isinstance(values, Mapping):
            raise ValueError(
                f'{where} must be a dictionary, got {type(values).__name__}'
            )
        self.where, self._values = where, values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def require(self, name: str) -> None:
        """Raise a ``ValueError`` if a field is missing."""
        if self._values.get(name) is None:
            raise ValueError(
                f'{self.where}: has no field {name!r}; fields: '
                f'{", ".join(map(str, self._values))}'
            )

    def array(self, name: str, *shapes: tuple[int, ...]) -> np.ndarray:
        """A field of numbers, float64.

        Args:
            name: Name of the field.
            *shapes: Allowed shapes of equal length, -1 for any size. Surplus
                leading dimensions of size 1 are dropped.

        Raises:
            ValueError: If the field is missing, holds no numbers, or has
                another shape.
        """
        self.require(name)
        try:
            value = np.asarray(self._values[name], np.float64)
        except (TypeError, ValueError):
            raise ValueError(f'{self.where}: {name} must be numbers') from None
        found = value.shape
        while value.ndim > len(shapes[0]) and value.shape[0] == 1:
            value = value[0]
        for shape in shapes:
            if has_shape(value, shape):
                if not np.isfinite(value).all():
                    raise ValueError(f'{self.where}: {name} is not finite')
                return value
        wanted = ' or '.join(map(str, shapes))
        raise ValueError(
            f'{self.where}: {name} must have shape {wanted}, got {found}'
        )


def ten_coefficients(values: np.ndarray) -> np.ndarray:
    """The first ten of ``(n,)`` coefficients, padded with zeros."""
    return np.pad(values[:10], (0, max(0, 10 - len(values))))


def frames_of(path: Path, key: str) -> Iterator[tuple[str, list[Person]]]:
    """Read frames and their persons.

    Args:
        path: A file, or a folder with a file per frame.
        key: Name of a field that every person has.

    Yields:
        Name and persons of each frame, files sorted by name, 2 before 10.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file is damaged, unsafe or holds something else.
    """
    files = [path]
    if path.is_dir():
        found = (f for f in visible_paths(path) if f.suffix in SUFFIXES)
        files = sorted(found, key=natural_key)
        if not files:
            raise FileNotFoundError(
                f'{path}: contains no file with a suffix of '
                f'{", ".join(SUFFIXES)}'
            )
    for file in files:
        yield from _frames(_load(file), str(file), file.stem, key)


def _load(path: Path) -> Any:
    if path.suffix == '.npz':
        arrays = load_npz(path, allow_objects=True)
        content = {name: _plain(array) for name, array in arrays.items()}
        # ``np.savez(file, humans)``
        alone = len(content) == 1 and next(iter(content.values()))
        return alone if isinstance(alone, (list, dict)) else content
    if path.suffix == '.npy':
        return _plain(load_npy(path, allow_objects=True))
    if path.suffix == '.json':
        try:
            return json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f'{path}: not valid JSON ({error})') from error
    if path.suffix == '.pkl':
        return load_pickle(path)
    raise ValueError(
        f'{path}: unknown suffix, allowed are {", ".join(SUFFIXES)}'
    )


def _plain(array: np.ndarray) -> Any:
    """Convert an array of Python objects to these objects."""
    return array.tolist() if array.dtype.hasobject else array


def _frames(
    content: Any, where: str, name: str, key: str
) -> Iterator[tuple[str, list[Person]]]:
    if isinstance(content, Mapping) and key in content:
        yield name, _persons(content, where, key)
    elif isinstance(content, Mapping):
        if not content or not all(
            isinstance(x, list) for x in content.values()
        ):
            raise ValueError(
                f'{where}: has no field {key!r}; fields: '
                f'{", ".join(map(str, content))}'
            )
        for stem, persons in content.items():
            yield (
                Path(str(stem)).stem,
                _listed(persons, f'{where}: {stem}', key),
            )
    elif isinstance(content, list) and _are(content, list):
        for number, persons in enumerate(content):
            yield (
                f'{number:06d}',
                _listed(persons, f'{where}: frame {number}', key),
            )
    elif isinstance(content, list):
        yield name, _listed(content, where, key)
    else:
        raise ValueError(
            f'{where}: must be a list of persons or of frames of persons, '
            f'got {type(content).__name__}'
        )


def _are(values: Sequence[Any], kind: type) -> bool:
    return bool(values) and all(isinstance(value, kind) for value in values)


def _listed(persons: list[Any], where: str, key: str) -> list[Person]:
    listed = [
        Person(f'{where}: person {number}', person)
        for number, person in enumerate(persons)
    ]
    for person in listed:
        person.require(key)
    return listed


def _persons(content: Mapping[str, Any], where: str, key: str) -> list[Person]:
    """Split a dictionary with stacked arrays into persons."""
    if np.ndim(content[key]) < 3:
        return [Person(where, content)]
    count = len(content[key])
    rows = [
        {
            name: value[number]
            if np.ndim(value) and len(value) == count
            else value
            for name, value in content.items()
        }
        for number in range(count)
    ]
    return _listed(rows, where, key)


def fitted_camera(
    points: np.ndarray,
    pixels: np.ndarray,
    where: str,
    focal: float | None = None,
    size: tuple[int, int] | None = None,
) -> Camera:
    """Fit a camera that projects points to given pixels.

    Args:
        points: ``(N, 3)`` meters, camera axes.
        pixels: ``(N, 2)``.
        where: Origin of the data, for errors.
        focal: Focal length in pixels, if known.
        size: ``(width, height)`` of the image; by default the principal
            point is its center.

    Raises:
        ValueError: If there is no such camera.
    """
    rays = points[:, :2] / points[:, 2:]
    if focal is None:
        spread = rays - rays.mean(0)
        focal = float((spread * pixels).sum() / (spread**2).sum())
    center = np.median(pixels - focal * rays, axis=0)
    width, height = size or np.round(2 * center).astype(int).tolist()
    if not (points[:, 2] > 0).all() or not focal > 0 or min(width, height) < 1:
        raise ValueError(
            f'{where}: no camera projects the 3-D points onto the 2-D '
            'points; 3-D points must be in camera axes, 2-D points in '
            'pixels of the image'
        )
    return Camera.from_focal(focal, (width, height), (center[0], center[1]))


def without_gaps(cameras: Sequence[Camera | None], where: str) -> list[Camera]:
    """Replace unknown cameras by that of the previous frame.

    Args:
        cameras: One per frame, ``None`` if unknown. Frames before the first
            known camera get that one.
        where: Origin of the data, for errors.

    Raises:
        ValueError: If no camera is known.
    """
    last = next((camera for camera in cameras if camera is not None), None)
    if last is None:
        raise ValueError(f'{where}: contains no persons')
    filled = []
    for camera in cameras:
        last = camera or last
        filled.append(last)
    return filled


def frame_results(
    entries: Sequence[tuple[str, list[Person]]],
    cameras: Sequence[Camera],
    instances_of: Callable[[list[Person], Camera], dict[str, np.ndarray]],
    options: ReadingOptions,
    camera_origin: str = 'unknown',
) -> list[FrameResult]:
    """Convert frames of :func:`frames_of` to results.

    Args:
        entries: Names and persons.
        cameras: One per frame.
        instances_of: Converts the persons of a frame to fields of
            :data:`aios.results.PERSON_FIELDS`.
        options: Frame rate.
        camera_origin: One of :data:`aios.results.CAMERA_ORIGINS`.
    """
    return [
        FrameResult(
            name=name,
            K=camera.K,
            size=(camera.width, camera.height),
            instances=instances_of(persons, camera),
            camera_origin=camera_origin,
            **options.timing(number),
        )
        for number, ((name, persons), camera) in enumerate(
            zip(entries, cameras, strict=True)
        )
    ]
