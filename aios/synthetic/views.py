# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Cameras in the world.

The floor of the world is at ``y = 0``, ``y`` up; the camera is at
``(0, height, 0)`` and looks along ``-z``, so a person with heading 0 faces
it.  Camera axes are OpenCV's (x right, y down, z forward).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from aios.structures import Camera

_FLIP = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class View:
    """A camera in the world.

    Attributes:
        camera: Intrinsics and image size.
        rotation: ``(3, 3)`` world to camera.
        position: ``(3,)`` camera center in the world, meters.
        subject_distance: Typical distance of persons, meters.
    """

    camera: Camera
    rotation: np.ndarray
    position: np.ndarray
    subject_distance: float

    @classmethod
    def looking(
        cls,
        camera: Camera,
        height: float,
        pitch: float,
        roll: float = 0.0,
        subject_distance: float = 4.0,
    ) -> View:
        """A camera at a height, pitched down (positive) and rolled.

        Args:
            camera: Intrinsics.
            height: Meters above the floor.
            pitch: Downwards, radians.
            roll: Radians.
            subject_distance: Meters.
        """
        tilt = Rotation.from_euler('x', pitch) * Rotation.from_euler('z', roll)
        # _FLIP is the rotation of a level camera, before pitch and roll.
        rotation = tilt.as_matrix() @ _FLIP
        return cls(
            camera, rotation, np.array([0.0, height, 0.0]), subject_distance
        )

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points ``(..., 3)`` in the camera frame, meters."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points ``(..., 3)`` in pixels ``(..., 2)``."""
        return self.camera.project(self.to_camera(points))

    def rays(self, step: int = 1) -> np.ndarray:
        """World directions of the pixel centers.

        Args:
            step: Every ``step``-th pixel.

        Returns:
            ``(ceil(H / step), ceil(W / step), 3)`` float32, z-depth one.
        """
        cam = self.camera
        u = np.arange(0, cam.width, step) + 0.5 * step
        v = np.arange(0, cam.height, step) + 0.5 * step
        inverse = self.rotation.T @ np.linalg.inv(cam.K)
        inverse = inverse.astype(np.float32)
        return (
            u[None, :, None].astype(np.float32) * inverse[:, 0]
            + v[:, None, None].astype(np.float32) * inverse[:, 1]
            + inverse[:, 2]
        )


def sample_view(
    rng: np.random.Generator,
    width: int,
    height: int,
    fill: tuple[float, float] | None = None,
) -> View:
    """Draws a hand-held camera.

    It is mostly at eye level, sometimes low or high, at 1.5 to 12 m.

    Args:
        rng: Random generator.
        width: Image width, pixels.
        height: Image height, pixels.
        fill: Smallest and largest share of the image's height that a person
            at ``subject_distance`` fills.  By default from a small person to
            a cropped one.

    Returns:
        The view.
    """
    side = max(width, height)
    focal = side * float(np.exp(rng.uniform(np.log(0.75), np.log(1.8))))
    center = (
        width / 2 + rng.normal(0, 0.01) * width,
        height / 2 + rng.normal(0, 0.01) * height,
    )
    camera = Camera.from_focal(focal, (width, height), center)
    kind = rng.random()
    if kind < 0.65:
        level = float(np.clip(rng.normal(1.5, 0.2), 1.0, 2.0))
    elif kind < 0.8:
        level = rng.uniform(0.35, 1.0)
    else:
        level = rng.uniform(2.0, 3.6)
    # Share of the image height that a standing person fills.
    if fill is None:
        fill = (0.38, 1.0) if rng.random() < 0.85 else (1.0, 1.7)
    share = rng.uniform(*fill)
    distance = float(np.clip(focal * 1.7 / (share * height), 1.5, 12.0))
    aim = rng.uniform(0.75, 1.1) if share < 1 else rng.uniform(1.1, 1.4)
    pitch = np.arctan2(level - aim, distance) + rng.normal(0, 0.02)
    return View.looking(
        camera, level, float(pitch), float(rng.normal(0, 0.025)), distance
    )
