# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Rows of persons of one unit of a release.

Symbols: ``N`` persons, ``J`` = 144 joints of ``'smplx_144'``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from aios.structures import (
    SMPLX_144,
    scale_boxes,
    xywh_to_xyxy,
    xyxy_to_xywh,
)

BODY_SCALE, PART_SCALE = 1.2, 1.0
_MAX_VALUE = 1e7  # pixels, meters, radians
# mmhuman3d's head: the face with ears, eyeballs, jaw and head joint.
_HEAD = (
    *SMPLX_144.indices(
        (
            *('head', 'jaw', 'left_eyeball', 'right_eyeball', 'nose'),
            *('right_eye', 'left_eye', 'right_ear', 'left_ear'),
        )
    ),
    *range(76, 144),
)
_PARTS = {
    'lhand': SMPLX_144.groups['left_hand'],
    'rhand': SMPLX_144.groups['right_hand'],
    'face': _HEAD,
}


@dataclass
class PersonTable:
    """Rows of one unit of a release.

    Attributes:
        columns: Arrays with ``N`` rows by the keys of HumanData; entries of
            its dictionaries as ``smplx/betas``, ``meta/gender``.  Empty
            without persons.
        counts: Numbers of persons or images left out, or without labels, by
            reason.
    """

    columns: dict[str, np.ndarray] = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def select(self, keep: np.ndarray, reason: str) -> None:
        """Keep some rows; count the others under ``reason``."""
        self.counts[reason] += int((~keep).sum())
        self.columns = {k: v[keep] for k, v in self.columns.items()}

    def drop_empty_boxes(self, reason: str = 'outside image') -> None:
        """Drop persons whose body box is empty."""
        if len(self):
            self.select(self.columns['bbox_xywh'][:, 4] > 0, reason)

    def select_sound(self) -> None:
        """Drop rows with invalid numbers: NaN, infinity, 1e19."""
        sound = np.ones(len(self), bool)
        for value in self.columns.values():
            if value.dtype.kind == 'f':
                with np.errstate(invalid='ignore'):
                    good = np.abs(value) < _MAX_VALUE  # false for NaN
                sound &= good.all(axis=tuple(range(1, value.ndim)))
        self.select(sound, 'number not finite, or beyond 1e7')


@dataclass(frozen=True)
class Cameras:
    """Cameras of persons.

    Attributes:
        focal: ``(N, 2)`` pixels.
        center: ``(N, 2)`` pixels.
        sizes: ``(N, 2)`` height and width of the images.
    """

    focal: np.ndarray
    center: np.ndarray
    sizes: np.ndarray

    @classmethod
    def repeated(
        cls, matrix: np.ndarray, size: Sequence[int], count: int
    ) -> Cameras:
        """One camera for all persons.

        Args:
            matrix: ``(3, 3)`` pixels.
            size: Height and width of the images.
            count: Number of persons.
        """
        return cls(
            np.tile(matrix[[0, 1], [0, 1]], (count, 1)),
            np.tile(matrix[:2, 2], (count, 1)),
            np.tile(size, (count, 1)),
        )

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points of the camera's frame.

        Args:
            points: ``(N, J, 3)`` meters.

        Returns:
            ``(N, J, 3)`` x, y, confidence; 0 for points behind the camera.
        """
        depth = points[..., 2:]
        front = depth > 1e-6
        safe = np.where(front, depth, 1.0)
        pixels = points[..., :2] / safe * self.focal[:, None]
        pixels += self.center[:, None]
        return np.concatenate((pixels * front, front), axis=-1)

    def meta_columns(
        self, gender: str | np.ndarray, fitted: bool | np.ndarray = True
    ) -> dict[str, np.ndarray]:
        """Entries of ``meta``.

        Args:
            gender: Of all persons, or of each.
            fitted: Whether all persons, or each, have a body fit.
        """
        count = len(self.sizes)
        return {
            'meta/gender': np.full(count, gender),
            'meta/height': self.sizes[:, 0],
            'meta/width': self.sizes[:, 1],
            'meta/focal_length': self.focal,
            'meta/principal_point': self.center,
            'meta/smplx_valid': np.full(count, fitted, np.uint8),
        }


def tight_boxes(
    points: np.ndarray, sizes: np.ndarray, ratio: float
) -> np.ndarray:
    """Boxes around joints, enlarged and clipped to the image.

    Args:
        points: ``(N, K, 3)`` x, y, confidence.
        sizes: ``(N, 2)`` height and width of the images.
        ratio: Scale about the center.

    Returns:
        ``(N, 5)`` xywh and confidence; 0 if no joint is inside.
    """
    xy, use = points[..., :2], points[..., 2] > 0
    limit = sizes[:, None, ::-1]
    inside = use & ((xy >= 0) & (xy < limit)).all(axis=-1)
    low = np.where(use[..., None], xy, np.inf).min(axis=1)
    high = np.where(use[..., None], xy, -np.inf).max(axis=1)
    boxes = np.concatenate((low, high), axis=1)
    boxes[~use.any(axis=1)] = 0
    boxes = scale_boxes(boxes, ratio)
    return _clipped(boxes, sizes, np.any(inside, axis=1))


def annotated_boxes(
    boxes: ArrayLike, sizes: np.ndarray, valid: np.ndarray
) -> np.ndarray:
    """Annotated boxes of a release, clipped to the image.

    Args:
        boxes: ``(N, 4)`` xywh pixels.
        sizes: ``(N, 2)`` height and width of the images.
        valid: ``(N,)`` bool.

    Returns:
        ``(N, 5)`` xywh and confidence.
    """
    xywh = np.asarray(boxes, np.float64)
    has_area = np.all(xywh[:, 2:] > 0, axis=1)
    has_area &= np.all(np.abs(xywh) < _MAX_VALUE, axis=1)
    return _clipped(xywh_to_xyxy(xywh), sizes, valid & has_area)


def _clipped(
    boxes: np.ndarray, sizes: np.ndarray, valid: np.ndarray
) -> np.ndarray:
    limit = np.tile(sizes[:, ::-1], 2)
    boxes = xyxy_to_xywh(np.clip(boxes, 0, limit))
    valid = valid & (boxes[:, 2:] > 0).all(axis=1)
    boxes[~valid] = 0
    return np.column_stack((boxes, valid)).astype(np.float32)


def box_columns(
    points: np.ndarray, sizes: np.ndarray, part_scale: float = PART_SCALE
) -> dict[str, np.ndarray]:
    """Boxes of bodies, hands and heads from projected joints.

    Args:
        points: ``(N, 144, 3)`` x, y, confidence.
        sizes: ``(N, 2)`` height and width of the images.
        part_scale: Scale of hands and heads about their centers.
    """
    columns = {'bbox_xywh': tight_boxes(points, sizes, BODY_SCALE)}
    for part, joints in _PARTS.items():
        columns[f'{part}_bbox_xywh'] = tight_boxes(
            points[:, joints], sizes, part_scale
        )
    return columns


def joint_columns(
    joints: np.ndarray, points: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns of 3-D joints ``(N, 144, 3)`` and their projections."""
    ones = np.ones((*joints.shape[:2], 1))
    joints = np.concatenate((joints, ones), axis=-1)
    return {
        'keypoints2d_smplx': points.astype(np.float32),
        'keypoints3d_smplx': joints.astype(np.float32),
    }


def smplx_columns(params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of a body-model dictionary, in the shapes of HumanData."""
    shapes = {
        'body_pose': (21, 3),
        'left_hand_pose': (15, 3),
        'right_hand_pose': (15, 3),
    }
    return {
        f'smplx/{name}': np.asarray(value, np.float32).reshape(
            len(value), *shapes.get(name, (-1,))
        )
        for name, value in params.items()
    }


def posed_columns(
    paths: ArrayLike,
    params: Mapping[str, np.ndarray],
    joints: np.ndarray,
    cameras: Cameras,
    gender: str,
) -> dict[str, np.ndarray]:
    """All columns of persons that only have a fit.

    Args:
        paths: ``(N,)`` images.
        params: SMPL-X dictionary.
        joints: ``(N, 144, 3)`` meters, those of ``params``.
        cameras: Their cameras.
        gender: Of all of them.
    """
    points = cameras.project(joints)
    return {
        'image_path': np.asarray(paths),
        **box_columns(points, cameras.sizes),
        **joint_columns(joints, points),
        **smplx_columns(params),
        **cameras.meta_columns(gender),
    }


def concatenate(tables: Sequence[Mapping[str, np.ndarray]]) -> dict:
    """Concatenate the rows of tables with the same columns."""
    return {
        name: np.concatenate([table[name] for table in tables])
        for name in (tables[0] if tables else ())
    }
