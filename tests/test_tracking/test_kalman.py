# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Boxes are expected where MMDetection's filter expects them."""

from __future__ import annotations

import numpy as np
from mmdet.models.task_modules.tracking import KalmanFilter

from aios.tracking import kalman


def test_equals_mmdetection():
    rng = np.random.default_rng(0)
    theirs = KalmanFilter()
    boxes = np.cumsum(rng.normal(0, 3, (20, 4)), axis=0) + (50, 40, 0, 90)
    boxes[:, 2] = rng.uniform(0.3, 0.6, 20)
    ours = kalman.initiate(boxes[0])
    expected = theirs.initiate(boxes[0])
    for index, box in enumerate(boxes):
        ours, expected = kalman.predict(*ours), theirs.predict(*expected)
        if index % 4:  # sometimes nobody is seen
            ours = kalman.update(*ours, box)
            expected = theirs.update(*expected, box)
        for one, other in zip(ours, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
