# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Grounding of walking persons, compared with the ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from walking_persons import (
    SIZE,
    K,
    Noise,
    View,
    Walk,
    as_results,
    crowd,
    predicted,
)

from aios.ground import ground_sequence
from aios.results import SequenceResult
from aios.structures import SMPLX_144

SOLES = SMPLX_144.indices(
    [f'{s}_{p}' for s in ('left', 'right') for p in ('heel', 'bigtoe')]
)
BODY = slice(0, 22)


@dataclass
class Case:
    """A scene: ground truth, predictions, and grounded predictions."""

    view: View
    truth: list[Walk]
    before: SequenceResult
    after: SequenceResult
    report: dict

    def joints(self, persons: SequenceResult) -> list[np.ndarray]:
        return [
            persons.joints3d[persons.person_id == i].astype(np.float64)
            for i in range(len(self.truth))
        ]

    def slide(self, persons: SequenceResult) -> float:
        """Foot sliding in mm per frame, for standing feet inside the image."""
        slides = []
        for found, person in zip(
            self.joints(persons), self.truth, strict=True
        ):
            still = steps(person.joints) < 1e-4
            still &= inside(person.joints)[1:]
            slides.append(steps(found)[still])
        return 1000 * float(np.concatenate(slides).mean())

    def error(self, persons: SequenceResult) -> float:
        """Joint error in mm, root-aligned."""
        return self._error(persons, lambda joints: joints - joints[:, :1])

    def place_error(self, persons: SequenceResult) -> float:
        """Pelvis error in mm, in camera axes."""
        return self._error(persons, lambda joints: joints[:, :1])

    def acceleration_error(self, persons: SequenceResult) -> float:
        """Acceleration error in mm per frame²."""
        return self._error(persons, lambda joints: np.diff(joints, 2, axis=0))

    def _error(self, persons: SequenceResult, what) -> float:
        errors = [
            np.linalg.norm(
                what(found[:, BODY]) - what(person.joints[:, BODY]), axis=-1
            ).mean()
            for found, person in zip(
                self.joints(persons), self.truth, strict=True
            )
        ]
        return 1000 * float(np.mean(errors))

    def tilt(self) -> float:
        """Angle between the floors in degrees."""
        cosine = self.after.floor[:3] @ self.view.floor[:3]
        return float(np.degrees(np.arccos(min(cosine, 1))))

    def height_error(self) -> float:
        """Floor height error in meters, at the center of the persons."""
        true = self.view.floor
        soles = [person.joints[:, SOLES] for person in self.truth]
        middle = np.concatenate(soles).mean((0, 1))
        middle -= (middle @ true[:3] + true[3]) * true[:3]
        floor = self.after.floor
        return float(abs(middle @ floor[:3] + floor[3]))

    def camera_error(self) -> float:
        """Error of the camera height in meters."""
        return float(self.after.floor[3] - self.view.height)


def inside(joints: np.ndarray) -> np.ndarray:
    pixels = joints[:, SOLES] @ K.T
    pixels = pixels[..., :2] / pixels[..., 2:]
    return ((pixels >= 0) & (pixels < SIZE)).all(-1)


def steps(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(joints[:, SOLES], axis=0), axis=-1)


def grounded(
    seed: int,
    view: View,
    count: int = 3,
    frames: int = 300,
    noise: Noise | None = None,
) -> Case:
    """Persons who walk in circles in front of a camera."""
    truth = crowd(seed, view, count, frames)
    rng = np.random.default_rng(seed + 1000)
    noise = noise or Noise()
    before = as_results([predicted(rng, p, noise) for p in truth])
    after, report = ground_sequence(before)
    return Case(view, truth, before, after, report)
