# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The user's camera instead of the network's (``docs/en/inference.md``).

The network places persons in front of a virtual camera with a focal length
of 5000 pixels at its own resolution.  With the real camera they are placed in
front of that one: nearer, at the same place and size in the image.

Symbols: ``n`` persons.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aios.results import FrameResult
from aios.structures import Camera
from aios.utils.safe_io import load_npy, load_npz

__all__ = ['CameraModel', 'change_camera', 'load_intrinsics']

PELVIS = 0


@dataclass(frozen=True)
class CameraModel:
    """What is known about the camera; nothing: the network's virtual one.

    Args:
        focal_length: Pixels of the original image.
        fov: Angle of view across the image's width, degrees.
        intrinsics: Rows of the ``(3, 3)`` matrix, pixels.
        size: ``(width, height)`` of the images the matrix is for;
            otherwise it is taken for every size.

    Raises:
        ValueError: If more than one is given, or one makes no sense.
    """

    focal_length: float | None = None
    fov: float | None = None
    intrinsics: tuple[tuple[float, ...], ...] | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        given = (self.focal_length, self.fov, self.intrinsics)
        if sum(value is not None for value in given) > 1:
            raise ValueError(
                'give one of focal_length, fov and intrinsics, not several'
            )
        if self.focal_length is not None and not (
            0 < self.focal_length < math.inf
        ):
            raise ValueError(
                'focal_length must be a positive number of pixels, got '
                f'{self.focal_length}'
            )
        if self.fov is not None and not 0 < self.fov < 180:
            raise ValueError(
                f'fov must be between 0 and 180 degrees, got {self.fov}'
            )
        if self.intrinsics is not None:
            Camera(np.array(self.intrinsics), 1, 1)

    @classmethod
    def create(
        cls,
        focal_length: float | None = None,
        fov: float | None = None,
        intrinsics: np.ndarray | str | os.PathLike | None = None,
    ) -> CameraModel:
        """From options of users.

        Args:
            focal_length: Pixels of the original image.
            fov: Angle of view across the image's width, degrees.
            intrinsics: ``(3, 3)`` matrix, or a file of one, see
                :func:`load_intrinsics`.
        """
        size = None
        if isinstance(intrinsics, (str, os.PathLike)):
            intrinsics, size = load_intrinsics(intrinsics)
        rows = None
        if intrinsics is not None:
            rows = tuple(map(tuple, np.asarray(intrinsics, float).tolist()))
        return cls(focal_length, fov, rows, size)

    def matrix(self, size: tuple[int, int]) -> np.ndarray | None:
        """``(3, 3)`` intrinsics for images of ``(width, height)``.

        Returns:
            ``None`` if nothing is known.
        """
        if self.intrinsics is not None:
            width, height = self.size or size
            camera = Camera(np.array(self.intrinsics), height, width)
            return camera.resize(*size).K
        focal = self.focal_length
        if self.fov is not None:
            focal = size[0] / 2 / math.tan(math.radians(self.fov) / 2)
        return None if focal is None else Camera.from_focal(focal, size).K


def load_intrinsics(
    path: str | os.PathLike,
) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Read a camera matrix.

    Args:
        path: ``.npy``, ``.txt`` (three rows of three numbers), ``.npz`` with
            an array ``K``, or ``.json`` with ``K``; the last two may also
            have ``width`` and ``height`` of the images it is for.

    Returns:
        ``(3, 3)`` matrix, and the size ``(width, height)`` if it is there.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    path = Path(path)
    fields: dict[str, Any]
    try:
        if path.suffix == '.npz':
            fields = load_npz(path)
        elif path.suffix == '.npy':
            fields = {'K': load_npy(path)}
        elif path.suffix == '.json':
            fields = json.loads(path.read_text())
        else:
            fields = {'K': np.loadtxt(path)}
        K = np.asarray(fields['K'], float)
        Camera(K, 1, 1)
        size = None
        if 'width' in fields:
            size = int(fields['width']), int(fields['height'])
    except FileNotFoundError:
        raise
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path}: holds no camera matrix K of shape (3, 3) in a .npy, '
            f'.npz, .json or .txt file ({error})'
        ) from error
    return K, size


def change_camera(frame: FrameResult, K: np.ndarray) -> FrameResult:
    """The same persons in front of another camera.

    The pelvis keeps its place in the image, and what is as far away as the
    pelvis keeps its size: the depth grows as the focal length does.  See
    :func:`aios.structures.convert_virtual_camera` for the formula with equal
    focal lengths.

    Args:
        frame: Persons seen by ``frame.K``.
        K: ``(3, 3)`` intrinsics at the same resolution.
    """
    instances = frame.instances
    pelvis = instances['joints3d'][:, PELVIS].astype(float)
    old, new = frame.K, np.asarray(K, float)
    zoom = math.sqrt(new[0, 0] * new[1, 1] / (old[0, 0] * old[1, 1]))
    depth = pelvis[:, 2:]
    rays = pelvis @ (np.linalg.inv(new) @ old).T / depth
    shift = rays * depth * zoom - pelvis
    moved = {'transl': instances['transl'] + shift}
    for name in {'joints3d', 'vertices'} & set(instances):
        moved[name] = instances[name] + shift[:, None]
    there = replace(frame, K=new)
    moved['joints2d'] = there.camera.project(moved['joints3d'])
    return there.with_fields(**moved)
