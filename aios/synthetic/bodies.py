# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Bodies of a scene: shapes, poses and parts of the mesh.

Symbols: ``P`` persons, ``V`` = 10,475 vertices, ``F`` faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from aios.body_models import BodyPoser, SMPLXLayer
from aios.synthetic.poses import PoseSample

GENDERS = ('neutral', 'male', 'female')
_LEFT_HAND = (20, *range(25, 40))
_RIGHT_HAND = (21, *range(40, 55))
_LANDMARKS = slice(76, 144)  # 51 face landmarks and the 17 of the contour


@dataclass(frozen=True)
class Figure:
    """Shape, expression and pose of a person, before it is placed.

    Attributes:
        gender: One of :data:`GENDERS`.
        betas: ``(10,)`` shape coefficients.
        expression: ``(10,)`` expression coefficients.
        pose: Joint rotations; the root holds the tilt, not the heading.
    """

    gender: str
    betas: np.ndarray
    expression: np.ndarray
    pose: PoseSample


@dataclass(frozen=True)
class BodyTemplate:
    """The mean body of a gender in the rest pose and its parts.

    Attributes:
        vertices: ``(V, 3)`` meters.
        joints: ``(144, 3)`` meters.
        faces: ``(F, 3)`` int32.
        segment: ``(V,)`` joint (0-54) with the largest skinning weight.
        hand_mean: ``(2, 15, 3)`` mean pose of the left and right hand.
        part_faces: Face indices of ``left_hand``, ``right_hand``, ``face``.
        part_vertices: Vertex indices of the same parts.
    """

    vertices: np.ndarray
    joints: np.ndarray
    faces: np.ndarray
    segment: np.ndarray
    hand_mean: np.ndarray
    part_faces: dict[str, np.ndarray]
    part_vertices: dict[str, np.ndarray]

    @cached_property
    def regions(self) -> dict[tuple, np.ndarray]:
        """Cache of regions of the skin by name."""
        return {}

    @cached_property
    def waves(self) -> dict[str, np.ndarray]:
        """``(48, V)`` plane waves over the skin, coarse to fine.

        ``puff`` is 7 to 30 cm long, ``fold`` 7 to 25 cm and longer along
        the body, ``fine`` 3 to 8 cm.  The same in every process.
        """
        rng = np.random.default_rng(0)
        scales = {'puff': (20, 90), 'fold': (25, 90), 'fine': (80, 200)}
        return {
            name: _waves(rng, self.vertices, name == 'fold', *scale)
            for name, scale in scales.items()
        }


def _waves(
    rng: np.random.Generator,
    points: np.ndarray,
    stretched: bool,
    low: float,
    high: float,
) -> np.ndarray:
    """``(48, N)`` cosines of points; wave numbers in radians per meter."""
    numbers = rng.normal(size=(48, 3))
    numbers /= np.linalg.norm(numbers, axis=1, keepdims=True)
    numbers *= rng.uniform(low, high, (48, 1))
    if stretched:
        numbers[:, 1] *= 0.55
    phases = rng.uniform(0, 2 * np.pi, (48, 1))
    return np.cos(numbers @ points.T + phases).astype(np.float32)


def sample_shape(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws shape and expression coefficients.

    Args:
        rng: Random generator.

    Returns:
        betas ``(10,)``, standard normal cut at 2.5, and expression ``(10,)``,
        normal with standard deviation 0.7 cut at 2.
    """
    betas = np.clip(rng.normal(0, 1, 10), -2.5, 2.5)
    expression = np.clip(rng.normal(0, 0.7, 10), -2, 2)
    return betas, expression


def smplx_parameters(
    figure: Figure, hand_mean: np.ndarray
) -> dict[str, np.ndarray]:
    """Parameters of a figure as the SMPL-X format stores them.

    Args:
        figure: The person.
        hand_mean: ``(2, 15, 3)`` mean hand poses, subtracted from the hands.

    Returns:
        float32 arrays ``betas``, ``expression``, ``global_orient``,
        ``body_pose``, ``left_hand_pose``, ``right_hand_pose``, ``jaw_pose``,
        ``leye_pose`` and ``reye_pose`` without a batch dimension.
    """
    pose = figure.pose
    values = dict(
        betas=figure.betas,
        expression=figure.expression,
        global_orient=pose.root,
        body_pose=pose.body_pose,
        left_hand_pose=pose.left_hand_pose - hand_mean[0],
        right_hand_pose=pose.right_hand_pose - hand_mean[1],
        jaw_pose=pose.jaw_pose,
        leye_pose=pose.leye_pose,
        reye_pose=pose.reye_pose,
    )
    return {k: np.asarray(v, np.float32) for k, v in values.items()}


class BodyBank:
    """Body models of all genders, loaded on first use.

    Args:
        model_path: Folder or file of an SMPL-X-format model, or ``'free'``.
    """

    def __init__(self, model_path: str = 'free') -> None:
        self.model_path = model_path
        self._poser = BodyPoser(dict(type=SMPLXLayer, model_path=model_path))
        self._templates: dict[str, BodyTemplate] = {}

    def layer(self, gender: str) -> SMPLXLayer:
        """The body layer of a gender."""
        return self._poser.layer(gender)

    def template(self, gender: str) -> BodyTemplate:
        """The rest body of a gender."""
        if gender not in self._templates:
            self._templates[gender] = _make_template(self.layer(gender))
        return self._templates[gender]

    def forward(
        self,
        genders: Sequence[str],
        parameters: Sequence[dict[str, np.ndarray]],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Poses several bodies, one batch per gender.

        Args:
            genders: ``P`` genders, at least one.
            parameters: ``P`` dicts of :func:`smplx_parameters`, ``transl``
                optional.

        Returns:
            Vertices ``(P, V, 3)`` and joints ``(P, 144, 3)``, float32,
            meters.
        """
        bodies = self._poser(_stacked(parameters), genders)
        return bodies.vertices, bodies.joints

    def joints(
        self,
        genders: Sequence[str],
        parameters: Sequence[dict[str, np.ndarray]],
    ) -> np.ndarray:
        """Joints ``(P, 144, 3)`` alone; arguments as :meth:`forward`."""
        return self._poser(
            _stacked(parameters), genders, return_vertices=False
        ).joints

    def pose(self, figures: Sequence[Figure]) -> tuple[np.ndarray, np.ndarray]:
        """Poses figures in their own frame (``y`` up, heading ``+z``).

        Args:
            figures: ``P`` figures, at least one.

        Returns:
            Vertices ``(P, V, 3)`` and joints ``(P, 144, 3)``, meters.
        """
        parameters = [
            smplx_parameters(f, self.template(f.gender).hand_mean)
            for f in figures
        ]
        return self.forward([f.gender for f in figures], parameters)


def _stacked(
    persons: Sequence[dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Parameters of several persons as a batch."""
    return {
        name: np.stack([person[name] for person in persons])
        for name in persons[0]
    }


def _make_template(layer: SMPLXLayer) -> BodyTemplate:
    out = layer(betas=torch.zeros(1, 10))
    # Relaxed hands are fine here, since parts come from the weights.
    vertices, joints = out.vertices[0].numpy(), out.joints[0].numpy()
    faces = np.asarray(layer.faces, np.int32)
    segment = np.asarray(layer.lbs_weights).argmax(1)
    selected = dict(
        left_hand=np.isin(segment, _LEFT_HAND),
        right_hand=np.isin(segment, _RIGHT_HAND),
        face=_face_region(vertices, joints, segment),
    )
    return BodyTemplate(
        vertices=vertices,
        joints=joints,
        faces=faces,
        segment=segment,
        hand_mean=np.asarray(layer.hand_mean).reshape(2, 15, 3),
        part_faces={
            k: np.flatnonzero(m[faces].all(1)) for k, m in selected.items()
        },
        part_vertices={k: np.flatnonzero(m) for k, m in selected.items()},
    )


def _face_region(
    vertices: np.ndarray, joints: np.ndarray, segment: np.ndarray
) -> np.ndarray:
    """Mask of the front of the head, from chin to brows and ear to ear."""
    landmarks = joints[_LANDMARKS]
    low, high = landmarks.min(0), landmarks.max(0)
    head = np.isin(segment, (15, 22, 23, 24))
    inside = ((vertices > low - 0.005) & (vertices < high + 0.03)).all(1)
    return head & inside


@lru_cache(maxsize=4)
def shared_bank(model_path: str) -> BodyBank:
    """The :class:`BodyBank` of a model path, shared in this process."""
    return BodyBank(model_path)
