# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The pinhole camera, and the virtual camera of the published network.

Axes are OpenCV's: x right, y down, z forward; lengths are meters, image
coordinates pixels.  Cropping, resizing and flipping an image change the
matrix ``K``; 3-D points stay the same.

The network predicts translations for a *virtual* camera with a focal length
of :data:`VIRTUAL_FOCAL` pixels at network resolution; see
:meth:`Camera.virtual` and :func:`convert_virtual_camera`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .arrays import library_of

if TYPE_CHECKING:
    from torch import Tensor

VIRTUAL_FOCAL = 5000.0
HALF_TURN = (1.0, 0.0, 0.0, 0.0)
"""Quaternion ``(x, y, z, w)`` from these axes to y up and z backward."""
_NEAREST = 1e-3  # meters; smallest depth that is projected

ArrayT = TypeVar('ArrayT', np.ndarray, 'Tensor')


def project_points(points: ArrayT, K: ArrayT) -> ArrayT:
    """Project camera-frame points; differentiable.

    Points behind the camera are mirrored, as the formula has it.  Depths of
    less than 1 mm become 1 mm, so that pixels are finite.

    Args:
        points: ``(..., N, 3)`` meters.
        K: ``(..., 3, 3)`` intrinsics, pixels.

    Returns:
        ``(..., N, 2)`` pixels.
    """
    projected: Any = points @ K.swapaxes(-1, -2)
    depth = projected[..., 2:]
    depth = library_of(points).where(
        depth < 0, depth.clip(max=-_NEAREST), depth.clip(min=_NEAREST)
    )
    pixels: ArrayT = projected[..., :2] / depth
    return pixels


def weak_perspective_to_translation(camera: ArrayT) -> ArrayT:
    """Convert the network's camera parameters to a translation.

    Args:
        camera: ``(..., 3)`` raw ``(s, tx, ty)``.

    Returns:
        ``(..., 3)`` meters: ``(tx / s, ty / s, 1 / s)``.
    """
    scale = camera[..., :1] + 1e-9  # as published
    xy = camera[..., 1:] / scale
    transl: ArrayT = library_of(camera).concatenate((xy, 1 / scale), -1)
    return transl


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Args:
        K: ``(3, 3)`` intrinsics in pixels.
        height: Image height in pixels.
        width: Image width in pixels.

    Raises:
        ValueError: If ``K`` is not a finite intrinsics matrix or the size is
            not positive.
    """

    K: np.ndarray
    height: int
    width: int

    def __post_init__(self) -> None:
        K = np.array(self.K, np.float64)
        if K.shape != (3, 3) or not np.isfinite(K).all():
            raise ValueError(f'K must be a finite (3, 3) matrix, got {self.K}')
        if K[0, 0] == 0 or K[1, 1] <= 0 or (K[2] != (0, 0, 1)).any():
            raise ValueError(
                'K must be [[fx, s, cx], [0, fy, cy], [0, 0, 1]] with '
                f'non-zero focal lengths, got {K.tolist()}'
            )
        if self.height < 1 or self.width < 1:
            raise ValueError(
                f'size must be positive, got {self.height} x {self.width}'
            )
        K.setflags(write=False)
        object.__setattr__(self, 'K', K)

    @classmethod
    def from_focal(
        cls,
        focal: float | tuple[float, float],
        size: tuple[int, int],
        principal_point: tuple[float, float] | None = None,
    ) -> Camera:
        """Build from focal length(s).

        Args:
            focal: Pixels, one number or ``(fx, fy)``.
            size: ``(width, height)``.
            principal_point: ``(cx, cy)``; default the image's center.
        """
        fx, fy = np.broadcast_to(np.asarray(focal, np.float64).ravel(), 2)
        width, height = size
        cx, cy = principal_point or (width / 2, height / 2)
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        return cls(K, height, width)

    @classmethod
    def virtual(cls, height: int, width: int) -> Camera:
        """The network's camera at the (unpadded) network resolution."""
        return cls.from_focal(VIRTUAL_FOCAL, (width, height))

    @property
    def focal(self) -> np.ndarray:
        """``(2,)`` focal lengths ``(fx, fy)`` in pixels."""
        return self.K[(0, 1), (0, 1)]

    @property
    def principal_point(self) -> np.ndarray:
        """``(2,)`` principal point in pixels."""
        return self.K[:2, 2]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project ``(..., 3)`` points, see :func:`project_points`."""
        return project_points(np.asarray(points), self.K)

    def warp(self, affine: np.ndarray, height: int, width: int) -> Camera:
        """Camera of the image ``x' = affine @ (x, y, 1)``.

        Args:
            affine: ``(2, 3)`` or ``(3, 3)`` pixel map without rotation of
                the axes into each other (crop, resize, flip).
            height: Height of the new image.
            width: Width of the new image.
        """
        full = np.eye(3)
        full[:2] = np.asarray(affine)[:2]
        return Camera(full @ self.K, height, width)

    def crop(self, x0: float, y0: float, width: int, height: int) -> Camera:
        """Camera of a crop whose top left corner is ``(x0, y0)``."""
        return self.warp(np.array([[1, 0, -x0], [0, 1, -y0]]), height, width)

    def resize(self, width: int, height: int) -> Camera:
        """Camera of the image resized to ``width × height``."""
        sx, sy = width / self.width, height / self.height
        return self.warp(np.array([[sx, 0, 0], [0, sy, 0]]), height, width)

    def flip(self) -> Camera:
        """Camera of the mirrored image, for points mirrored in x.

        Focal lengths stay positive, because flipping a person swaps left
        and right instead of turning the body inside out; only the principal
        point and the skew change.
        """
        K = self.K.copy()
        K[0, 2] = self.width - K[0, 2]
        K[0, 1] = -K[0, 1]
        return Camera(K, self.height, self.width)


def convert_virtual_camera(
    transl: ArrayT,
    focal_from: float,
    focal_to: float,
    principal_point_from: tuple[float, float] | np.ndarray,
    principal_point_to: tuple[float, float] | np.ndarray,
) -> ArrayT:
    """Re-express a translation for another focal length.

    A point at the translation keeps its projection, and an object there its
    size in the image; other depths change in perspective.  Both cameras must
    refer to the same resolution.

    Args:
        transl: ``(..., 3)`` meters, in the first camera.
        focal_from: Focal length of the first camera, pixels.
        focal_to: Focal length of the second camera, pixels.
        principal_point_from: ``(cx, cy)`` of the first camera.
        principal_point_to: ``(cx, cy)`` of the second camera.

    Returns:
        ``(..., 3)`` meters, in the second camera.
    """
    depth: Any = transl[..., 2] * (focal_to / focal_from)
    moved: list[Any] = [
        transl[..., i]
        + (principal_point_from[i] - principal_point_to[i]) * depth / focal_to
        for i in range(2)
    ]
    result: ArrayT = library_of(transl).stack((*moved, depth), -1)
    return result
