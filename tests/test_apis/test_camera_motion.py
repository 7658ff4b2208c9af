# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A camera that moves is told from persons who do."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from aios.apis.camera_motion import CameraMotion
from aios.results import FrameResult, complete_instances

SIZE = (320, 240)
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])


def watch(pan: float, walk: float, texture: float = 60) -> CameraMotion:
    """Pixels per frame of the background and of a person."""
    rng = np.random.default_rng(0)
    noise = rng.normal(128, 3 * texture, (240, 900, 1))
    wall = cv2.GaussianBlur(noise, (0, 0), 4)[..., None]
    shirt = rng.uniform(0, 255, (120, 60, 3))
    motion = CameraMotion()
    for t in range(40):
        place = np.float32([[1, 0, -100 - pan * t], [0, 1, 0]])
        image = np.repeat(
            cv2.warpAffine(wall, place, SIZE)[..., None], 3, axis=2
        )
        x = int(20 + walk * t)
        image[100:220, x : x + 60] = shirt
        boxes = np.array([[x, 100, x + 60, 220]])
        frame = FrameResult(
            f'{t:06d}', t, t / 30, K, SIZE, complete_instances(bboxes=boxes)
        )
        motion.write(frame, np.clip(image, 0, 255).astype(np.uint8))
    return motion


@pytest.mark.parametrize('walk', [0, 5])
def test_a_fixed_camera(walk):
    motion = watch(0, walk)
    assert motion.pairs > 20
    assert not motion.moves


@pytest.mark.parametrize('walk', [0, 5])
def test_a_camera_that_pans(walk):
    motion = watch(2, walk)
    assert motion.moves
    assert motion.share > 0.9


def test_a_bare_wall_says_nothing():
    motion = watch(2, 5, texture=0)
    assert not motion.pairs
    assert not motion.moves
