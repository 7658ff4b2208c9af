# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Expressions of the free body under ARKit's names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gltf_evaluator import GLBViewer

from aios.export import write_glb
from aios.export.expressions import arkit_shapes
from aios.export.rig import Rig

# What Apple's documentation says of coefficients: what moves, and whereto
# (x to the person's left, y up, z to the front).
MOVES = {
    'mouthSmileLeft': (1, [0, 1, 0]),  # upward, left corner of the mouth
    'mouthSmileRight': (-1, [0, 1, 0]),
    'mouthFrownLeft': (1, [0, -1, 0]),  # downward, left corner
    'mouthFrownRight': (-1, [0, -1, 0]),
    'eyeBlinkLeft': (1, [0, -1, 0]),  # closure of the lids, left eye
    'eyeBlinkRight': (-1, [0, -1, 0]),
    'eyeWideLeft': (1, [0, 1, 0]),  # widening of the lids
    'eyeWideRight': (-1, [0, 1, 0]),
    'mouthPucker': (0, [0, 0, 1]),  # compression of both closed lips
    'mouthStretchLeft': (1, [1, 0, 0]),  # leftward, the left corner
    'mouthStretchRight': (-1, [-1, 0, 0]),
    'cheekPuff': (0, [0, 0, 1]),  # outward, both cheeks
    'mouthLeft': (0, [1, 0, 0]),  # leftward, both lips
    'mouthRight': (0, [-1, 0, 0]),
}


@pytest.fixture(scope='module')
def shapes(layer):
    rig = Rig.of(layer)
    names = [f'expression_{i}' for i in range(10)]
    weights = np.random.default_rng(0).normal(size=(4, 10))
    given = rig.shapes[10:], weights, names
    return rig.template, given, arkit_shapes(rig.template, *given)


def test_faces_stay_the_same(shapes):
    _, (old, weights, _), (new, new_weights, _) = shapes
    np.testing.assert_allclose(
        np.einsum('tn,nvx->tvx', new_weights, new),
        np.einsum('tn,nvx->tvx', weights, old),
        atol=1e-9,
    )


def test_what_names_say_moves(shapes):
    template, _, (new, weights, names) = shapes
    left = [name for name in names if not name.startswith('expression_')]
    assert sorted(left) == sorted(MOVES)
    for name, (side, direction) in MOVES.items():
        shape = new[names.index(name)]
        length = np.linalg.norm(shape, axis=1)
        most = length > 0.7 * length.max()
        assert (shape[most].mean(0) @ direction) > 0.001, name
        if side:
            assert (side * template[most, 0] > 0).all(), name
    ends = [n for n in MOVES if n != 'cheekPuff']
    assert (weights[:, [names.index(n) for n in ends]] >= 0).all()


def test_a_file(dancers, layer, tmp_path: Path):
    few = dancers.select_frames(slice(1))
    path = tmp_path / 'persons.glb'
    plain = write_glb(few, layer, tmp_path / 'plain.glb', correctives='none')
    write_glb(few, layer, path, correctives='none', expressions='arkit')
    names = GLBViewer(path).gltf.meshes[0].extras['targetNames']
    assert {'eyeBlinkLeft', 'expression_1'} < set(names)
    assert plain.max_error < 0.05
    shown, same = (
        GLBViewer(p).vertices(0.0) for p in (path, tmp_path / 'plain.glb')
    )
    for name, vertices in shown.items():
        np.testing.assert_allclose(vertices, same[name], atol=1e-6)
    with pytest.raises(ValueError, match=r"one of \('smplx', 'arkit'\)"):
        write_glb(few, layer, path, expressions='vrm', overwrite=True)
    other = replace(few, body_model='data/body_models')
    with pytest.raises(ValueError, match='needs the free body'):
        write_glb(other, layer, path, expressions='arkit', overwrite=True)
