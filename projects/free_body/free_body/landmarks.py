# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The 51 inner face landmarks (iBUG 68 scheme, points 17-67).

Brows, nose, eyes and mouth are placed in the frontal view relative to
features of the mesh (eyeball, visible part of the eye, seam between the lips,
tip of the nose) and projected onto the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mesh_ops import outermost_hits
from .skeleton import EYE_VERTICES, KEY_VERTICES, joint

_EYE_GRID = 0.0006
_LID_MARGIN = 0.0008  # from the visible eyeball to the lid
_SEAM_STEP, _SEAM_RANGE = 0.001, 0.034
_SEAM_JUMP = 0.0035  # the jaw moves the lower lip by more than this
_LIP_HEIGHT, _SEAM_OFFSET = 0.0085, 0.0011


@dataclass(frozen=True)
class Face:
    """Geometry of the face.

    Attributes:
        vertices: (V, 3) of the whole body.
        faces: (F, 3).
        front: (F',) rows of ``faces`` at the front of the head.
        joints: (55, 3).
        eye_radius: meters.
        jaw_drop: (V,) vertical displacement of the opening mouth.
    """

    vertices: np.ndarray
    faces: np.ndarray
    front: np.ndarray
    joints: np.ndarray
    eye_radius: float
    jaw_drop: np.ndarray

    @property
    def eye(self) -> np.ndarray:
        """Center (3,) of the left eyeball."""
        return self.joints[joint('left_eyeball')]

    @property
    def nose(self) -> np.ndarray:
        """Tip (3,) of the nose."""
        return self.vertices[KEY_VERTICES['nose']]

    def hits(self, points, rows=None):
        """Front-most triangle at each (x, y): rows of ``faces``, bary, z."""
        points = np.asarray(points, float)
        rows = self.front if rows is None else rows
        origins = np.c_[points, np.full(len(points), -10.0)]
        forward = np.tile([0.0, 0, 1], (len(points), 1))
        hit, bary, distance = outermost_hits(
            self.vertices, self.faces[rows], origins, forward
        )
        return rows[hit], bary, distance - 10


def face_landmarks(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Return triangles (51,) and barycentric coordinates (51, 3)."""
    points = [
        *_brows(face),
        *_nose(face),
        *_eyes(_eye_opening(face)),
        *_mouth(face),
    ]
    rows, bary, _ = face.hits(points)
    return rows, bary


def _both_sides(left: list) -> list:
    """Mirror images from the outside in, then the points themselves."""
    return [(-x, y) for x, y in left] + left[::-1]


def _brows(face: Face) -> list:
    x, y, r = *face.eye[:2], face.eye_radius
    y += 1.3 * r
    outer_to_inner = [
        (x + 1.55 * r, y - 0.35 * r),
        (x + 1.0 * r, y + 0.1 * r),
        (x + 0.25 * r, y + 0.25 * r),
        (x - 0.45 * r, y + 0.1 * r),
        (x - 1.15 * r, y - 0.1 * r),
    ]
    return _both_sides(outer_to_inner)


def _nose(face: Face) -> list:
    top, tip = face.eye[1], face.nose[1]
    bridge = [(0, top + (tip - top) * k / 3) for k in range(4)]
    y = tip - 0.0085
    left_half = [(0.0125, y + 0.003), (0.0065, y)]
    right_half = [(-x, y) for x, y in left_half]
    return [*bridge, *right_half, (0, y - 0.002), *left_half[::-1]]


def _eye_opening(face: Face) -> dict[str, tuple[float, float]]:
    """Corners and lid points (x, y) of the left eye, seen from the front."""
    (x, y), r = face.eye[:2], face.eye_radius
    xs = np.arange(x - 1.6 * r, x + 1.6 * r, _EYE_GRID)
    ys = np.arange(y - 1.2 * r, y + 1.2 * r, _EYE_GRID)
    grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    centers = face.vertices[face.faces].mean(1)
    near = np.linalg.norm(centers[:, :2] - face.eye[:2], axis=1) < 2.2 * r
    eye = EYE_VERTICES['left']
    is_ball = ((face.faces >= eye.start) & (face.faces < eye.stop)).all(1)
    skin = face.front[near[face.front]]
    skin_z = face.hits(grid, skin)[2]
    ball_z = face.hits(grid, np.flatnonzero(is_ball & near))[2]
    open_ = (ball_z > skin_z).reshape(len(ys), len(xs))
    columns = np.flatnonzero(open_.any(0))
    first, last = columns[0], columns[-1]
    inner_third = int(round(first + (last - first) / 3))
    outer_third = int(round(first + 2 * (last - first) / 3))

    def heights(column: int) -> np.ndarray:
        return ys[open_[:, column]]

    margin = _LID_MARGIN
    return {
        'inner': (xs[first] - margin, heights(first).mean()),
        'outer': (xs[last] + margin, heights(last).mean()),
        'upper_inner': (xs[inner_third], heights(inner_third)[-1] + margin),
        'upper_outer': (xs[outer_third], heights(outer_third)[-1] + margin),
        'lower_inner': (xs[inner_third], heights(inner_third)[0] - margin),
        'lower_outer': (xs[outer_third], heights(outer_third)[0] - margin),
    }


def _eyes(opening: dict[str, tuple[float, float]]) -> list:
    upper = ['outer', 'upper_outer', 'upper_inner', 'inner']
    right = [*upper, 'lower_inner', 'lower_outer']
    left = [*upper[::-1], 'lower_outer', 'lower_inner']
    mirrored = [(-opening[k][0], opening[k][1]) for k in right]
    return mirrored + [opening[k] for k in left]


def _mouth(face: Face) -> list:
    xs, ys = _lip_seam(face)
    m, h, e = xs[-1] + 0.001, _LIP_HEIGHT, _SEAM_OFFSET
    upper = [(0.62 * m, 0.6 * h), (0.22 * m, 0.95 * h)]
    lower = [(0.62 * m, -0.75 * h), (0.25 * m, -1.1 * h)]
    outer = [(-m, 0), *_mirrored(upper), (0, 0.8 * h), *upper[::-1], (m, 0)]
    outer += [*lower, (0, -1.15 * h), *_mirrored(lower)[::-1]]
    inner = [(-0.85 * m, 0), (-0.33 * m, e), (0, e), (0.33 * m, e)]
    inner += [(0.85 * m, 0), (0.33 * m, -e), (0, -e), (-0.33 * m, -e)]
    return [
        (x, y + float(np.interp(abs(x), xs, ys))) for x, y in outer + inner
    ]


def _mirrored(points: list) -> list:
    return [(-x, y) for x, y in points]


def _lip_seam(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Trace the gap between the lips from the middle to the corner."""
    xs, ys = [], []
    y, reach = face.nose[1] - 0.035, 0.025
    for x in np.arange(0, _SEAM_RANGE, _SEAM_STEP):
        y, jump = _gap(face, x, np.arange(y - reach, y + reach, 0.0005))
        if jump < _SEAM_JUMP:
            break
        xs.append(x)
        ys.append(y)
        reach = 0.006
    return np.array(xs), np.array(ys)


def _gap(face: Face, x: float, heights: np.ndarray) -> tuple[float, float]:
    """Height of the largest jump of ``jaw_drop``, and the jump."""
    rows, bary, _ = face.hits(np.c_[np.full(len(heights), x), heights])
    drop = (face.jaw_drop[face.faces[rows]] * bary).sum(1)
    jump = np.diff(drop)
    k = int(np.argmax(jump))
    return 0.5 * (heights[k] + heights[k + 1]), float(jump[k])
