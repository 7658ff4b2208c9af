# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Bodies and a few rendered scenes, created once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aios.synthetic import (
    BodyBank,
    SceneOptions,
    label_scene,
    render_scene,
    sample_scene,
)


@pytest.fixture(scope='session')
def bank(free_body_dir: Path) -> BodyBank:
    return BodyBank(str(free_body_dir))


@pytest.fixture(scope='session')
def scenes(bank):
    """Six sampled, rendered and labeled scenes of 2 to 6 persons."""
    options = SceneOptions(320, 240, persons=(2, 6))
    out = []
    for seed in range(6):
        scene = sample_scene(np.random.default_rng(seed), bank, options)
        photograph = render_scene(
            np.random.default_rng(seed), scene, bank, supersample=1
        )
        out.append((scene, photograph, *label_scene(scene, bank, photograph)))
    return out


def _winding_number(points, vertices, faces):
    """Generalized winding number (Jacobson 2013): 1 inside, 0 outside."""
    total = np.zeros(len(points))
    for i, point in enumerate(points):
        a, b, c = (vertices[faces[:, k]] - point for k in range(3))
        la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
        numerator = np.einsum('ij,ij->i', a, np.cross(b, c))
        denominator = (
            la * lb * lc
            + np.einsum('ij,ij->i', a, b) * lc
            + np.einsum('ij,ij->i', b, c) * la
            + np.einsum('ij,ij->i', c, a) * lb
        )
        total[i] = 2 * np.arctan2(numerator, denominator).sum() / (4 * np.pi)
    return total


@pytest.fixture(scope='session')
def winding_number():
    return _winding_number
