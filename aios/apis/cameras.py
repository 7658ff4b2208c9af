# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Convert results to the real camera (``docs/en/camera.md``).

The network places persons in front of a virtual camera with a focal length of
5000 pixels at its input resolution.  With the real camera they are nearer, at
the same position and size in the image.  Options of the user override the EXIF
data of the image.

Symbols: ``n`` persons.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from aios.results import FrameResult
from aios.structures import Camera
from aios.utils.safe_io import load_npy, load_npz

from .exif import FocalLength
from .frames import Frame

PELVIS = 0
_DISTORTION = ('distortion', 'dist', 'dist_coeffs', 'D')
_SAME_SHAPE = 0.02  # tolerated relative change of the aspect ratio
_NUM_DISTORTION = (4, 5, 8, 12, 14)  # coefficients of OpenCV's models


@dataclass(frozen=True)
class CameraModel:
    """Known parameters of the camera; without any the virtual one is used.

    Args:
        focal_length: Pixels of the original image.
        fov: Horizontal field of view, degrees.
        intrinsics: Rows of the ``(3, 3)`` matrix, pixels.
        size: ``(width, height)`` of the images of the matrix; without it the
            matrix is used for every size.
        distortion: Lens distortion, OpenCV's ``k1, k2, p1, p2, k3, ...``.
            Images are undistorted to ``intrinsics``.
        exif: Use the focal length of image files if none is given.

    Raises:
        ValueError: If more than one is given, or one is invalid.
    """

    focal_length: float | None = None
    fov: float | None = None
    intrinsics: tuple[tuple[float, ...], ...] | None = None
    size: tuple[int, int] | None = None
    distortion: tuple[float, ...] | None = None
    exif: bool = True

    def __post_init__(self) -> None:
        given = (self.focal_length, self.fov, self.intrinsics)
        if sum(value is not None for value in given) > 1:
            raise ValueError(
                'give only one of focal_length, fov and intrinsics'
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
            width, height = self.size or (1, 1)
            Camera(np.array(self.intrinsics), height, width)
        self._check_distortion()

    def _check_distortion(self) -> None:
        if self.distortion is None:
            return
        if self.intrinsics is None or self.intrinsics[0][1]:
            raise ValueError(
                'distortion needs intrinsics without skew, got '
                f'{self.intrinsics}'
            )
        count = len(self.distortion)
        if (
            count not in _NUM_DISTORTION
            or not np.isfinite(self.distortion).all()
        ):
            raise ValueError(
                f'distortion must be {_NUM_DISTORTION} finite numbers of '
                "OpenCV's model (k1, k2, p1, p2, k3, ...), got "
                f'{self.distortion}; undistort images of other lenses first'
            )

    @classmethod
    def create(
        cls,
        focal_length: float | None = None,
        fov: float | None = None,
        intrinsics: np.ndarray | str | os.PathLike | None = None,
        exif: bool = True,
    ) -> CameraModel:
        """Create a model from options of the user.

        Args:
            focal_length: Pixels of the original image.
            fov: Horizontal field of view, degrees.
            intrinsics: ``(3, 3)`` matrix, or a file of one, see
                :func:`load_intrinsics`.
            exif: Use the focal length of image files if none is given.
        """
        size = distortion = None
        if isinstance(intrinsics, (str, os.PathLike)):
            intrinsics, size, distortion = load_intrinsics(intrinsics)
        rows = None if intrinsics is None else _rows(intrinsics)
        return cls(focal_length, fov, rows, size, distortion, exif)

    def matrix(self, size: tuple[int, int]) -> np.ndarray | None:
        """``(3, 3)`` intrinsics for images of ``(width, height)``.

        Returns:
            ``None`` if unknown.

        Raises:
            ValueError: If they are no enlarged or reduced images of those of
                ``intrinsics``.
        """
        if self.intrinsics is not None:
            width, height = self.size or size
            if abs(size[0] * height / (size[1] * width) - 1) > _SAME_SHAPE:
                raise ValueError(
                    f'the intrinsics are those of images of {width} x '
                    f'{height} pixels, which cannot be resized to one of '
                    f'{size[0]} x {size[1]}; turn or crop them first'
                )
            camera = Camera(np.array(self.intrinsics), height, width)
            return camera.resize(*size).K
        focal = self.focal_length
        if self.fov is not None:
            focal = size[0] / 2 / math.tan(math.radians(self.fov) / 2)
        return None if focal is None else Camera.from_focal(focal, size).K

    def place(
        self, result: FrameResult, focal_length: FocalLength | None = None
    ) -> FrameResult:
        """Convert persons to this camera.

        Args:
            result: Persons of the network's virtual camera.
            focal_length: From EXIF, used if nothing else is known.
        """
        K = self.matrix(result.size)
        if K is not None:
            return change_camera(result, K)
        if focal_length is None or not self.exif:
            return result
        K = Camera.from_focal(focal_length.pixels, result.size).K
        return change_camera(result, K, 'exif', focal_length.std)

    def undistorted(self, frame: Frame) -> Frame:
        """The frame without lens distortion."""
        if self.distortion is None or frame.image is None:
            return frame
        K = self.matrix(frame.size)
        assert K is not None  # distortion needs intrinsics
        width, height = frame.size
        # The image may be smaller than the original.
        resized = Camera(K, height, width).resize(*frame.image.shape[1::-1])
        K = resized.K.copy()
        K[:2, 2] -= 0.5  # OpenCV's origin is the center of the first pixel
        image = cv2.undistort(frame.image, K, np.array(self.distortion))
        return replace(frame, image=image)


def load_intrinsics(
    path: str | os.PathLike,
) -> tuple[np.ndarray, tuple[int, int] | None, tuple[float, ...] | None]:
    """Read a camera matrix.

    Args:
        path: ``.npy``, ``.txt`` (three rows of three numbers), ``.npz`` with
            an array ``K``, or ``.json`` with ``K``; the last two may also
            have ``width`` and ``height`` of the images, and the lens
            ``distortion`` (or ``dist``, ``dist_coeffs``, ``D``).

    Returns:
        ``(3, 3)`` matrix, and the size ``(width, height)`` and the
        distortion, ``None`` if missing.

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
            fields = json.loads(path.read_text('utf-8-sig'))
        else:
            fields = {'K': np.loadtxt(path)}
        K = np.asarray(fields['K'], float)
        distortion = _distortion(fields)
        size = None
        if 'width' in fields:
            size = int(fields['width']), int(fields['height'])
        CameraModel(intrinsics=_rows(K), size=size, distortion=distortion)
    except FileNotFoundError:
        raise
    except (
        *(KeyError, OverflowError, RecursionError, TypeError, ValueError),
    ) as error:
        raise ValueError(
            f'{path}: must be a .npy, .npz, .json or .txt file with a camera '
            f'matrix K of shape (3, 3) ({error})'
        ) from error
    return K, size, distortion


def _rows(K: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, np.atleast_2d(np.asarray(K, float)).tolist()))


def _distortion(fields: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Coefficients of a file; ``None`` if there is no distortion."""
    for name in _DISTORTION:
        values = np.ravel(np.asarray(fields.get(name, ()), float))
        if values.any():
            return tuple(values.tolist())
    return None


def change_camera(
    frame: FrameResult,
    K: np.ndarray,
    camera_origin: str = 'user',
    focal_std: float = math.nan,
) -> FrameResult:
    """Convert persons to another camera.

    The pelvis keeps its position in the image, and bodies keep their size at
    the depth of the pelvis: the depth is proportional to the focal length.
    See :func:`aios.structures.convert_virtual_camera` for the formula with
    equal focal lengths.

    Args:
        frame: Persons of the camera ``frame.K``.
        K: ``(3, 3)`` intrinsics at the same resolution.
        camera_origin: Source of ``K``, one of
            :data:`~aios.results.CAMERA_ORIGINS`.
        focal_std: Standard deviation of the focal length relative to it.
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
    converted = replace(
        frame, K=new, camera_origin=camera_origin, focal_std=focal_std
    )
    moved['joints2d'] = converted.camera.project(moved['joints3d'])
    return converted.with_fields(**moved)
