# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import numpy as np
import pytest


@pytest.fixture(scope='session')
def make_sphere():
    """Function (rings, segments) -> vertices, faces of the unit sphere."""

    def make(rings=32, segments=48):
        polar = np.linspace(0, np.pi, rings + 1)[:, None]
        angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None]
        vertices = np.stack(
            [
                np.sin(polar) * np.cos(angle),
                np.sin(polar) * np.sin(angle),
                np.cos(polar) + 0 * angle,
            ],
            axis=-1,
        ).reshape(-1, 3)
        ring, segment = np.mgrid[:rings, :segments].reshape(2, -1)
        following = (segment + 1) % segments
        a, b = ring * segments + segment, ring * segments + following
        c, d = a + segments, b + segments
        faces = np.stack([a, c, b, b, c, d], axis=1).reshape(-1, 3)
        return vertices, faces

    return make
