# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Fit predicted bodies to keypoints.

Regressed bodies are often slightly misaligned with the image.  Keypoints are
better aligned, but lack depth.  A few Gauss-Newton steps on reprojection
errors, with the regression as prior (where SMPLify has a mixture of
Gaussians: Bogo et al., ECCV 2016), find the most probable pose given both.
Not in the AiOS paper.

Legend: ``n`` persons, ``J`` = 22 joints of the body, ``K`` = 17 keypoints of
COCO, ``U`` = 3 J + 3 unknowns: a rotation vector of each joint, the
translation along x and y, and the logarithm of the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from aios.structures import (
    COCO_17,
    SMPLX_144,
    VIRTUAL_FOCAL,
    joint_mapping,
    weak_perspective_to_translation,
)

from .layout import joints_by_depth

NUM_JOINTS = 22

# Standard deviations of the regression, radians, by part of the joint name.
_POSE_SIGMA = {
    'pelvis': 0.175,
    'hip': 0.175,
    'spine': 0.05,
    'knee': 0.2,
    'ankle': 0.15,
    'foot': 0.005,  # has no keypoint
    'neck': 0.075,
    'collar': 0.05,
    'head': 0.125,
    'shoulder': 0.225,
    'elbow': 0.25,
    'wrist': 0.005,
}
_DEPTH_SIGMA = 0.15  # of the logarithm
_TRANSLATION_SIGMA = 100.0  # meters, practically free
_MAX_DEPTH_STEP = 0.3
# Of keypoints with probability 1, relative to the longer side of the person's
# box; inversely proportional to the probability.
_KEYPOINT_SIGMA = 0.03
_OUTLIER = 0.12  # scale of the Geman-McClure loss, relative to the same side
_MIN_DEPTH = 0.05  # meters
_MIN_SIDE = 1.0  # pixels
_UNKNOWN_WEIGHT = 0.5


@dataclass(frozen=True)
class KeypointTargets:
    """Target keypoints of persons.

    Args:
        places: ``(n, K, 2)`` pixels from the center of the image.
        weights: ``(n, K)`` weights of squared errors, 0 for unknown.
        side: ``(n,)`` longer side of the body boxes, pixels.
    """

    places: np.ndarray
    weights: np.ndarray
    side: np.ndarray

    @classmethod
    def of_network(
        cls,
        boxes: np.ndarray,
        keypoints: np.ndarray,
        scores: np.ndarray | None,
        size: tuple[int, int],
    ) -> KeypointTargets:
        """Create targets from outputs of the network.

        Args:
            boxes: ``(n, 4)`` cxcywh, fractions of the image.
            keypoints: ``(n, K, 2)``, fractions of the image.
            scores: ``(n, K)`` probability of the keypoints, if known.
            size: ``(width, height)`` of the image the network saw.
        """
        if scores is None:
            weights = np.full(keypoints.shape[:2], _UNKNOWN_WEIGHT)
        else:
            weights = np.square(scores)
        side = (boxes[:, 2:] * size).max(-1).clip(min=_MIN_SIDE)
        return cls((keypoints - 0.5) * size, weights, side)

    @classmethod
    def cat(cls, targets: Sequence[KeypointTargets]) -> KeypointTargets:
        """Concatenate the persons of several images."""
        return cls(
            *(
                np.concatenate([getattr(t, name) for t in targets])
                for name in ('places', 'weights', 'side')
            )
        )


def fit_to_keypoints(
    body_pose: np.ndarray,
    camera: np.ndarray,
    joints: np.ndarray,
    targets: KeypointTargets,
    parents: np.ndarray,
    steps: int = 4,
) -> tuple[np.ndarray, np.ndarray]:
    """Adapt pose and translation of bodies to keypoints.

    Persons with values that are not finite are returned unchanged.

    Args:
        body_pose: ``(n, J, 3, 3)`` rotations of the root and 21 joints.
        camera: ``(n, 3)`` raw ``(s, tx, ty)``, see
            :func:`aios.structures.weak_perspective_to_translation`.
        joints: ``(n, 144, 3)`` meters, joints of the bodies, without
            translation.
        targets: Target keypoints.
        parents: ``(>= J,)`` parent of each joint.
        steps: Number of Gauss-Newton steps.

    Returns:
        Fitted ``body_pose`` and ``camera``, of the same dtypes.
    """
    inputs = (
        *(body_pose, camera, joints),
        *(targets.places, targets.weights, targets.side),
    )
    finite = np.ones(len(body_pose), dtype=bool)
    for values in inputs:
        finite &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not finite.any() or not steps:
        return body_pose, camera
    rotations, cameras, points, *keypoints = (
        x[finite].astype(np.float64) for x in inputs
    )
    fit = _Fit(
        rotations, cameras, points, KeypointTargets(*keypoints), parents
    )
    for _ in range(steps):
        fit.step()
    new_pose, new_camera = body_pose.copy(), camera.copy()
    new_pose[finite] = fit.rotations
    new_camera[finite] = fit.camera
    return new_pose, new_camera


@cache
def _precision() -> np.ndarray:
    """``(U,)`` inverse variances of the prior."""
    sigmas = []
    for name in SMPLX_144.names[:NUM_JOINTS]:
        (stem,) = (stem for stem in _POSE_SIGMA if stem in name)
        sigmas += [_POSE_SIGMA[stem]] * 3
    sigmas += [_TRANSLATION_SIGMA, _TRANSLATION_SIGMA, _DEPTH_SIGMA]
    return np.array(sigmas) ** -2


class _Skeleton:
    """Bones and keypoints of persons.

    Attributes:
        owner: ``(K,)`` joint that each keypoint is attached to.
        moves: ``(K, J)`` bool, joints whose rotation moves each keypoint.
    """

    def __init__(
        self, rotations: np.ndarray, joints: np.ndarray, parents: np.ndarray
    ) -> None:
        self.parents = parents[:NUM_JOINTS]
        self.levels = joints_by_depth(self.parents)
        coco = joint_mapping(SMPLX_144, COCO_17, approximate=True)
        head = SMPLX_144.names.index('head')
        self.owner = np.where(coco < NUM_JOINTS, coco, head)
        self.moves = np.zeros((len(coco), NUM_JOINTS), dtype=bool)
        for keypoint, joint in enumerate(self.owner):
            while joint >= 0:
                self.moves[keypoint, joint] = True
                joint = self.parents[joint]
        turns = self.turns(rotations)
        start = joints[:, :NUM_JOINTS]
        bones = start - start[:, self.parents]
        self.root = start[:, 0]
        self.bones = _turned_back(turns[:, self.parents], bones)
        arms = joints[:, coco] - start[:, self.owner]
        self.arms = _turned_back(turns[:, self.owner], arms)

    def turns(self, rotations: np.ndarray) -> np.ndarray:
        """Global rotation of each joint, ``(n, J, 3, 3)``."""
        turns = rotations.copy()
        for level in self.levels:
            above = turns[:, self.parents[level]]
            turns[:, level] = above @ turns[:, level]
        return turns

    def pose(self, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Joints ``(n, J, 3)`` and keypoints ``(n, K, 3)``, meters."""
        joints = np.empty_like(turns[..., 0])
        joints[:, 0] = self.root
        bones = (turns[:, self.parents] @ self.bones[..., None])[..., 0]
        for level in self.levels:
            joints[:, level] = joints[:, self.parents[level]] + bones[:, level]
        arms = turns[:, self.owner] @ self.arms[..., None]
        return joints, joints[:, self.owner] + arms[..., 0]

    def axes(self, turns: np.ndarray) -> np.ndarray:
        """Rotation axes of each joint as columns, ``(n, J, 3, 3)``."""
        axes = turns[:, self.parents]
        axes[:, 0] = np.eye(3)
        return axes


def _turned_back(turns: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Inverse rotations ``(n, J, 3, 3)`` of vectors ``(n, J, 3)``."""
    return np.einsum('nkji,nkj->nki', turns, vectors)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product, twice as fast as :func:`numpy.cross`."""
    ax, ay, az = np.moveaxis(a, -1, 0)
    bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), axis=-1
    )


class _Fit:
    """State of the optimization."""

    def __init__(
        self,
        rotations: np.ndarray,
        camera: np.ndarray,
        joints: np.ndarray,
        targets: KeypointTargets,
        parents: np.ndarray,
    ) -> None:
        self.start = rotations
        self.change = np.zeros((len(rotations), 3 * NUM_JOINTS + 3))
        self.rotations = rotations
        self.first = weak_perspective_to_translation(camera)
        self.transl = self.first.copy()
        self.targets = targets
        self.skeleton = _Skeleton(rotations, joints, parents)

    @property
    def camera(self) -> np.ndarray:
        """Raw ``(s, tx, ty)`` of the translation."""
        x, y, depth = self.transl.T
        return np.stack((1 / depth, x / depth, y / depth), axis=-1)

    def step(self) -> None:
        """One step of Gauss-Newton."""
        errors, slopes = self._errors()
        outlier = _OUTLIER / _KEYPOINT_SIGMA
        trust = (1 + np.square(errors).sum(-1) / outlier**2) ** -2
        weighted = slopes * (self.targets.weights * trust)[..., None, None]
        weighted = weighted.reshape(len(errors), -1, slopes.shape[-1])
        slopes = slopes.reshape(weighted.shape)
        errors = errors.reshape(len(errors), -1)
        precision = _precision()
        curvature = weighted.transpose(0, 2, 1) @ slopes + np.diag(precision)
        gradient = np.einsum('nku,nk->nu', weighted, errors)
        gradient += precision * self.change
        self._move(-np.linalg.solve(curvature, gradient[..., None])[..., 0])

    def _errors(self) -> tuple[np.ndarray, np.ndarray]:
        """Keypoint errors in standard deviations, and their derivatives.

        Returns:
            ``(n, K, 2)`` and ``(n, K, 2, U)``.
        """
        turns = self.skeleton.turns(self.rotations)
        joints, keypoints = self.skeleton.pose(turns)
        x = keypoints + self.transl[:, None]
        depth = np.maximum(x[..., 2], _MIN_DEPTH)[..., None]
        pixels = VIRTUAL_FOCAL * x[..., :2] / depth
        unit = _KEYPOINT_SIGMA * self.targets.side[:, None, None]
        projection = np.zeros((*pixels.shape, 3))  # pixels by meters
        projection[..., 0, 0] = projection[..., 1, 1] = 1
        projection[..., 2] = -pixels / VIRTUAL_FOCAL
        projection *= VIRTUAL_FOCAL / depth[..., None] / unit[..., None]
        motion = self._motion(turns, joints, keypoints)
        return (pixels - self.targets.places) / unit, projection @ motion

    def _motion(
        self, turns: np.ndarray, joints: np.ndarray, keypoints: np.ndarray
    ) -> np.ndarray:
        """Derivatives of keypoints by the unknowns, ``(n, K, 3, U)``."""
        arm = keypoints[:, :, None] - joints[:, None]  # (n, K, J, 3)
        axes = self.skeleton.axes(turns).swapaxes(-1, -2)[:, None]
        arm = arm * self.skeleton.moves[:, :, None]
        motion = _cross(axes, arm[:, :, :, None])  # (n, K, J, axis, 3)
        motion = motion.reshape(*keypoints.shape[:2], -1, 3).swapaxes(-1, -2)
        shift = np.zeros((*keypoints.shape, 3))
        shift[..., [0, 1], [0, 1]] = 1
        shift[..., 2, 2] = self.transl[:, None, 2]
        return np.concatenate((motion, shift), axis=-1)

    def _move(self, by: np.ndarray) -> None:
        shape = self.rotations.shape[:2]
        turn = Rotation.from_rotvec(by[:, :-3].reshape(-1, 3))
        changed = turn * Rotation.from_rotvec(
            self.change[:, :-3].reshape(-1, 3)
        )
        self.change[:, :-3] = changed.as_rotvec().reshape(len(by), -1)
        self.rotations = changed.as_matrix().reshape(*shape, 3, 3) @ self.start
        self.transl[:, :2] += by[:, -3:-1]
        self.change[:, -3:-1] = self.transl[:, :2] - self.first[:, :2]
        deeper = np.clip(by[:, -1], -_MAX_DEPTH_STEP, _MAX_DEPTH_STEP)
        self.transl[:, 2] *= np.exp(deeper)
        self.change[:, -1] += deeper
