# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Synthetic persons for the tests of results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from aios.body_models import BodyPoser, SMPLXLayer
from aios.results import (
    SMPLX_ARGUMENTS,
    FrameResult,
    SequenceResult,
    complete_instances,
)

K = np.array([[1200.0, 0, 320], [0, 1180, 230], [0, 0, 1]])

MakeFrame = Callable[..., FrameResult]


@pytest.fixture
def make_frame() -> MakeFrame:
    """``make_frame(number, ids)``: persons whose values depend on the ids."""

    def make(number: int, ids: tuple[int, ...] = (), **fields) -> FrameResult:
        ids = np.array(ids, np.int64)
        persons = complete_instances(
            person_id=ids,
            bboxes=ids[:, None] + np.array([10, 20, 110, 220]),
            transl=np.stack([ids, 0 * ids, 5 + 0 * ids], axis=1),
            betas=np.full((len(ids), 10), number),
            **fields,
        )
        return FrameResult(
            f'{number:06d}', number, number / 25, K, (640, 480), persons
        )

    return make


@pytest.fixture
def persons(make_frame: MakeFrame) -> SequenceResult:
    """Four frames, one of them empty, two persons."""
    ids = ((4, 7), (), (7,), (7, 4))
    frames = [make_frame(i, present) for i, present in enumerate(ids)]
    return SequenceResult.from_frames(
        frames, fps=25.0, source='walk.mp4', body_model='free', model='tiny'
    )


@pytest.fixture(scope='session')
def dancers(layer: SMPLXLayer) -> SequenceResult:
    """Two persons in nine frames of strong random poses, one of them absent
    at the beginning, the end and in between; the seventh frame is empty."""
    rng = np.random.default_rng(0)
    betas = rng.normal(size=(9, 10))
    frames = []
    for number in range(9):
        ids = np.array([3, 8] if number in (1, 2, 4, 5, 7) else [3])
        ids = ids[:0] if number == 6 else ids
        poses = {
            name: 0.4 * rng.normal(size=(len(ids), size))
            for name, size in SMPLX_ARGUMENTS.items()
        }
        poses['global_orient'] += (np.pi, 0, 0)
        poses['transl'] += (0, 0, 6)
        given = poses | {'person_id': ids, 'betas': betas[ids]}
        instances = complete_instances(**given)
        frame = FrameResult(
            f'{number:06d}', number, number / 25, K, (640, 480), instances
        )
        frames.append(frame.posed(BodyPoser(layer), with_vertices=False))
    return SequenceResult.from_frames(frames, fps=25.0, body_model='free')
