# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A body model for ``walking_persons`` with variable height."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from walking_persons import Noise, View, as_results, pose, predicted, walk

from aios.results import SequenceResult

HEIGHT, STEP = 1.70, 0.07  # meters of the mean, and of one more in betas[0]
_CROWN = [0, 0.15, 0]  # of the head joint


class _Posed(NamedTuple):
    joints: np.ndarray
    vertices: np.ndarray


class StickBody:
    """A stick figure; its vertices are the joints and the top of the head."""

    v_template = np.zeros((145, 3))

    def __call__(
        self, betas, transl=0.0, global_orient=0.0, body_pose=0.0, **_: Any
    ) -> _Posed:
        count = len(betas)
        root = np.broadcast_to(global_orient, (count, 3))
        body = np.broadcast_to(body_pose, (count, 63)).reshape(-1, 21, 3)
        joints = pose(root, body, np.zeros((count, 3)))
        vertices = np.append(joints, joints[:, 15:16] + _CROWN, axis=1)
        size = 1 + STEP / HEIGHT * betas[:, :1, None]
        where = np.zeros((count, 3)) + transl
        joints, vertices = (
            size * points + where[:, None] for points in (joints, vertices)
        )
        return _Posed(joints, vertices)


class Family(NamedTuple):
    """Persons of several heights, all predicted with the mean height.

    Attributes:
        heights: ``(n,)`` meters.
        depths: ``(n,)`` meters of the pelvis along z, mean over time.
        found: Predictions: all persons have the mean height, and the depths
            that match their size in the image.
    """

    heights: np.ndarray
    depths: np.ndarray
    found: SequenceResult

    def errors(self, persons: SequenceResult, heights) -> tuple[float, float]:
        """Mean relative errors of heights and depths."""
        depths = [
            persons.joints3d[persons.person_id == person, 0, 2].mean()
            for person in range(len(self.heights))
        ]
        return (
            float(np.abs(heights / self.heights - 1).mean()),
            float(np.abs(depths / self.depths - 1).mean()),
        )


def family(
    seed: int, view: View, heights: tuple[float, ...], frames: int = 300
) -> Family:
    """Persons who walk in circles in front of a camera."""
    rng = np.random.default_rng(seed)
    sizes = np.array(heights) / HEIGHT
    seen = []
    for size in sizes:
        start = rng.uniform(-1.5, 1.5) / size, rng.uniform(5, 8) / size
        turning = rng.choice([-1, 1]) * rng.uniform(0.4, 0.7)
        heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.0)
        person = walk(rng, start, heading, frames, turning, speed)
        # Looks the same through a camera at this height.
        seen.append(replace(view, height=view.height / size).see(person))
    depths = [person.pelvis[:, 2].mean() for person in seen]
    found = as_results([predicted(rng, p, Noise()) for p in seen])
    return Family(np.array(heights), sizes * depths, found)
