# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Two persons in four frames and their animation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aios.body_models import BodyPoser, SMPLXLayer
from aios.export import write_glb
from aios.results import FrameResult, SequenceResult, complete_instances

SIZE = (320, 240)
# Neither square nor centered: who forgets a part of it is found out.
K = np.array([[400.0, 0, 140], [0, 380, 130], [0, 0, 1]])


@pytest.fixture(scope='session')
def persons(layer: SMPLXLayer) -> SequenceResult:
    """Person 7 is in all frames, person 2 in the first and the last."""
    frames = []
    for number in range(4):
        ids = np.array([2, 7] if number in (0, 3) else [7])
        given = {
            'person_id': ids,
            'global_orient': np.tile([np.pi, 0, 0], (len(ids), 1)),
            'body_pose': np.zeros((len(ids), 63)),
            'transl': np.array(
                [{2: (-0.7, 0, 6), 7: (0.7, -0.2, 4.5)}[i] for i in ids]
            ),
        }
        given['global_orient'][:, 1] += 0.2 * number
        given['body_pose'][:, 50] = -0.3 * number  # right shoulder, z
        frame = FrameResult(
            f'{number + 10:06d}',
            number + 10,
            (number + 10) / 5,
            K,
            SIZE,
            complete_instances(**given),
        )
        frames.append(frame.posed(BodyPoser(layer), with_vertices=False))
    return SequenceResult.from_frames(
        frames, fps=5.0, source='walk.mp4', body_model='free'
    )


@pytest.fixture(scope='session')
def animation(
    persons: SequenceResult,
    layer: SMPLXLayer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp('animation') / 'persons.glb'
    write_glb(persons, layer, path, tolerance=1e-3)
    return path


@pytest.fixture(scope='session')
def images() -> list[np.ndarray]:
    """One color per frame."""
    colors = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (90, 90, 90))
    return [np.full((*SIZE[::-1], 3), c, np.uint8) for c in colors]
