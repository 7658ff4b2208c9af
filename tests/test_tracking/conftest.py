# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons who walk past each other, and simulated predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aios.results import FrameResult, complete_instances
from aios.structures import Camera
from aios.synthetic import BodyBank
from aios.synthetic.bodies import Figure, sample_shape, smplx_parameters
from aios.synthetic.labels import camera_parameters
from aios.synthetic.motion import sample_motion
from aios.synthetic.persons import LocalBody, Person
from aios.synthetic.views import View

FPS = 25.0
CAMERA = Camera.from_focal(700, (640, 480))
VIEW = View.looking(CAMERA, height=1.4, pitch=0.08)
# First and last position on the floor: x to the right, z towards the camera,
# which stands at the origin.
Path2D = tuple[tuple[float, float], tuple[float, float]]


@pytest.fixture(scope='session')
def bank(free_body_dir: Path) -> BodyBank:
    return BodyBank(str(free_body_dir))


@pytest.fixture(scope='session')
def layer(bank: BodyBank) -> Any:
    return bank.layer('neutral')


@pytest.fixture(scope='session')
def walk(bank) -> Callable[..., list[FrameResult]]:
    """Create a sequence of persons on straight paths, with true ids."""

    def make(
        paths: Sequence[Path2D], frames: int = 50, seed: int = 0
    ) -> list[FrameResult]:
        rng = np.random.default_rng(seed)
        persons = [_walker(bank, rng, path, frames) for path in paths]
        genders = ['neutral'] * len(persons) * frames
        rows = [person[t] for t in range(frames) for person in persons]
        joints = bank.joints(genders, rows).reshape(
            frames, len(persons), -1, 3
        )
        return [
            _frame(t, [person[t] for person in persons], joints[t])
            for t in range(frames)
        ]

    return make


@pytest.fixture(scope='session')
def predict() -> Callable[..., list[FrameResult]]:
    """Simulated predictions: noise, misses, persons in random order."""

    def make(
        frames: list[FrameResult],
        seed: int = 0,
        noise: float = 1.0,
        hidden: float = 0.6,
    ) -> list[FrameResult]:
        rng = np.random.default_rng(seed)
        return [_predict(frame, rng, noise, hidden) for frame in frames]

    return make


def _predict(frame, rng, noise: float, hidden: float) -> FrameResult:
    persons = dict(frame.instances)
    count = len(frame)
    boxes = persons['bboxes']
    height = (boxes[:, 3] - boxes[:, 1])[:, None]
    persons['bboxes'] = (
        boxes + noise * rng.normal(0, 0.02, (count, 4)) * height
    )
    persons['joints2d'] = (
        persons['joints2d']
        + noise * rng.normal(0, 0.01, (count, 144, 2)) * height[..., None]
    )
    persons['transl'] = persons['transl'] * (
        1 + noise * rng.normal(0, 0.06, (count, 1))
    )
    persons['scores'] = rng.uniform(0.45, 0.95, count)
    seen = _covered(frame) < hidden
    order = rng.permutation(count)
    noisy = frame.with_fields(**persons)
    return noisy.select(order[seen[order]])


def _covered(frame: FrameResult) -> np.ndarray:
    """Fraction of each box that boxes of nearer persons cover."""
    boxes, depth = frame.instances['bboxes'], frame.instances['transl'][:, 2]
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    area = np.maximum(high - low, 0).prod(-1)
    share = area / (boxes[:, 2:] - boxes[:, :2]).prod(-1)[:, None]
    return np.where(depth[None] < depth[:, None], share, 0).max(1, initial=0)


def _walker(bank, rng, path: Path2D, frames: int) -> list[dict]:
    """SMPL-X parameters in the camera frame, one dict per frame."""
    (x0, z0), (x1, z1) = path
    betas, expression = sample_shape(rng)
    motion = sample_motion(rng, 'walk')
    template = bank.template('neutral')
    heading = np.arctan2(x1 - x0, z1 - z0)
    figures = [
        Figure('neutral', betas, expression, motion.pose(t / FPS))
        for t in range(frames)
    ]
    rows = [smplx_parameters(f, template.hand_mean) for f in figures]
    joints = bank.joints(['neutral'] * frames, rows)
    out = []
    for t, figure in enumerate(figures):
        share = t / max(1, frames - 1)
        x, z = x0 + share * (x1 - x0), z0 + share * (z1 - z0)
        points = joints[t]
        drop = -points[0] * [1, 0, 1] - [0, points[:, 1].min(), 0]
        body = LocalBody(figure, points, points, drop, points[0], 0.3)
        person = Person(body, heading, np.array([x, z]), points, points)
        out.append(camera_parameters(person, VIEW, template.hand_mean))
    return out


def _frame(t: int, rows: list[dict], joints: np.ndarray) -> FrameResult:
    pixels = CAMERA.project(joints.astype(np.float64))
    low, high = pixels.min(1), pixels.max(1)
    persons = {
        name: np.stack([row[name].reshape(-1) for row in rows])
        for name in rows[0]
    }
    persons = complete_instances(
        **persons,
        bboxes=np.concatenate([low, high], axis=1),
        joints3d=joints,
        joints2d=pixels,
    )
    return FrameResult(
        f'{t:06d}',
        t,
        t / FPS,
        CAMERA.K,
        (CAMERA.width, CAMERA.height),
        persons,
    )
